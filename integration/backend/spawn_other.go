//go:build !linux

package backend

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// endWithParent does nothing where there is no such signal: here the servers of a
// killed process stay.
func endWithParent(*syscall.SysProcAttr, syscall.Signal) {}

func childrenOf(parent int) (children []int, err error) {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(parent)).Output()
	var none *exec.ExitError
	if err != nil && !errors.As(err, &none) {
		return nil, err
	}
	for field := range strings.FieldsSeq(string(out)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		children = append(children, child)
	}
	return children, nil
}
