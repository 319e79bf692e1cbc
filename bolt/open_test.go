package bolt

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// refuse checks that Open refuses the file at path, says why, and leaves the file
// as it was.
func refuse(t *testing.T, path, why string) {
	t.Helper()
	before, _ := os.ReadFile(path)
	s, err := Open(t.Context(), "bolt:"+path, nil)
	if err == nil {
		s.Close()
		t.Fatalf("%s was opened", path)
	}
	if !strings.Contains(err.Error(), why) {
		t.Errorf("%v; want %q in it", err, why)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("text", func(t *testing.T) { refuse(t, file("short", []byte("hello")), "is not a bolt file") })
	t.Run("long text", func(t *testing.T) {
		refuse(t, file("long", bytes.Repeat([]byte("hello"), 10_000)), "is not a bolt file")
	})
	t.Run("directory", func(t *testing.T) { refuse(t, dir, "directory") })
	t.Run("no directory", func(t *testing.T) { refuse(t, filepath.Join(dir, "none", "x.db"), "does not exist") })
	t.Run("truncated", func(t *testing.T) {
		path := filepath.Join(dir, "truncated")
		s := openTest(t, "bolt:"+path)
		for i := range 200 {
			mustCreate(t, s, benchID(i), "", time.Hour)
		}
		s.Close()
		if err := os.Truncate(path, 2*int64(os.Getpagesize())); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, "damaged")
	})
}

// Read-only file systems are told from other failures; a test cannot mount one.
func TestExplainReadOnly(t *testing.T) {
	for _, cause := range []error{syscall.EROFS, syscall.EACCES, syscall.EPERM} {
		err := explain("x.db", &os.PathError{Op: "open", Path: "x.db", Err: cause})
		if !strings.Contains(err.Error(), "x.db is not writable") || !errors.Is(err, cause) {
			t.Errorf("%v: %v", cause, err)
		}
	}
}

func TestNewRefusesReadOnly(t *testing.T) {
	path := tempFile(t)
	openTest(t, "bolt:"+path).Close()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := New(db, nil); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefusesFormats(t *testing.T) {
	for stored, why := range map[string]string{
		"2":   "format 2; this version of the package knows format 1",
		"one": "malformed",
		"":    "not this package's",
	} {
		path := tempFile(t)
		s := openTest(t, "bolt:"+path)
		err := s.db.Update(func(tx *bbolt.Tx) error {
			if stored == "" {
				return tx.Bucket(s.bucket).Delete(formatKey)
			}
			return tx.Bucket(s.bucket).Put(formatKey, []byte(stored))
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		refuse(t, path, why)
	}
}

// bbolt locks the file, not the process, so a second Open here is what one in
// another process is. TestKill opens files from two processes.
func TestOpenLocked(t *testing.T) {
	path := tempFile(t)
	s := openTest(t, "bolt:"+path)

	began := time.Now()
	_, err := Open(t.Context(), "bolt:"+path+"?lock_timeout=100ms", nil)
	if err == nil || !strings.Contains(err.Error(), "another process has "+path+" open") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took < 100*time.Millisecond || took > 2*time.Second {
		t.Errorf("lock_timeout=100ms took %v", took)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Open(ctx, "bolt:"+path, &Options{LockTimeout: time.Minute})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}

	time.AfterFunc(50*time.Millisecond, func() { s.Close() })
	again, err := Open(t.Context(), "bolt:"+path, &Options{LockTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
