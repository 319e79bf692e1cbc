package bolt

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

func TestOpenRefusesFileThatIsNotWritable(t *testing.T) {
	path := tempFile(t)
	openTest(t, "bolt:"+path).Close()
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() { refuse(t, path, "is not writable") })
}

// asNobody runs f with the rights of an ordinary user where it has those of root, for
// whom no mode is read-only.
func asNobody(t *testing.T, f func()) {
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock it: the thread ends with the goroutine
		const nobody = 65534
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}
