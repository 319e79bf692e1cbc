package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/tokensession/tokensession"
)

// outcome leaves what the contract expects as it is; everything else becomes an
// OpError.
func outcome(op, id string, err error) error {
	switch {
	case err == nil,
		errors.Is(err, tokensession.ErrNotFound),
		errors.Is(err, tokensession.ErrExists),
		errors.Is(err, tokensession.ErrConflict),
		errors.Is(err, tokensession.ErrClosed):
		return err
	}
	return &tokensession.OpError{Driver: "bolt", Op: op, ID: id, Err: err}
}

// guard turns a panic of fn into an error. bbolt panics on pages that make no
// sense, and where they lie outside the file, the memory that it maps faults, which
// would end the process.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the file is damaged: bbolt panicked: %v", p)
		}
	}()
	return fn()
}
