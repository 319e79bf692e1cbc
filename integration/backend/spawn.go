package backend

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// command is one that runs in a directory. It is another user's if this process is
// root's, because PostgreSQL refuses to run as root.
func command(program, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = nobody()
	}
	return cmd
}

// nobody is the user of a server that may not be root's.
var nobody = sync.OnceValue(func() *syscall.Credential {
	const usual = 65534
	id := &syscall.Credential{Uid: usual, Gid: usual}
	if u, err := user.Lookup("nobody"); err == nil {
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if errors.Join(uidErr, gidErr) == nil {
			id.Uid, id.Gid = uint32(uid), uint32(gid)
		}
	}
	return id
})

// giveAway makes a file that of the user of command.
func giveAway(path string) error {
	if os.Getuid() != 0 {
		return nil
	}
	return os.Chown(path, int(nobody().Uid), int(nobody().Gid))
}

// startWithUs starts a process that gets the signal when this one ends.
func startWithUs(cmd *exec.Cmd, signal syscall.Signal) error {
	endWithParent(cmd.SysProcAttr, signal)
	started := make(chan error)
	spawner() <- func() { started <- cmd.Start() }
	return <-started
}

// spawner is the way to a thread that lasts as long as this process: Linux takes the
// end of the thread that started a process for the end of the parent.
var spawner = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// guard makes a stopped process go on if this one ends, so that it sees the signal
// which that sent it. The guard waits for a line from this process, or the end of it.
func guard(pid int) (dismiss func() error, err error) {
	cmd := exec.Command("sh", "-c", `read -r line || kill -CONT "$1"`, "guard", strconv.Itoa(pid))
	line, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error {
		_, err := line.Write([]byte("\n"))
		return errors.Join(err, cmd.Wait())
	}, nil
}
