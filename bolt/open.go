package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/tokensession/tokensession"
)

const (
	fileMode = 0o600 // sessions are nobody else's business

	// lockPoll is the pause between two tries to lock a file. flock could wait by
	// itself, but not for a context, and would get a file that Compact had replaced.
	lockPoll = 20 * time.Millisecond

	// tryOnce lets bbolt try the lock a single time: any time below its own pause
	// does, except 0, which is for ever.
	tryOnce = 1
)

func init() {
	tokensession.Register("bolt", func(ctx context.Context, url string) (tokensession.Store, error) {
		s, err := Open(ctx, url, nil)
		if err != nil {
			return nil, err // not s: a nil *Store is not a nil Store
		}
		return s, nil
	})
}

// Open opens the file that a URL such as "bolt:sessions.db" names, and creates it
// if it is not there. While another process has it open, Open waits for
// Options.LockTimeout, or until ctx ends.
func Open(ctx context.Context, url string, opts *Options) (*Store, error) {
	full, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	path, err := parseURL(url, &full)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	db, err := openLocked(ctx, path, full.LockTimeout)
	if err != nil {
		return nil, err
	}
	s, err := openStore(db, path, full)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func openStore(db *bbolt.DB, path string, opts Options) (*Store, error) {
	path, err := realPath(path)
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	// The file may be new, and its name is not safe before its directory is.
	if err := syncDir(path); err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	// Whoever was compacting held the lock that is held here, so he is dead. What
	// cannot be removed does no harm.
	_ = os.Remove(path + compactSuffix)
	return newStore(db, path, opts)
}

// openLocked opens the file at path once no other process has it open.
func openLocked(ctx context.Context, path string, wait time.Duration) (*bbolt.DB, error) {
	giveUp := time.NewTimer(wait)
	defer giveUp.Stop()
	for {
		db, err := openCurrent(path)
		if !errors.Is(err, berrors.ErrTimeout) {
			return db, explain(path, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("bolt: another process has %s open: %w", path, ctx.Err())
		case <-giveUp.C:
			return nil, fmt.Errorf("bolt: another process has %s open, still after %v: %w", path, wait, err)
		case <-time.After(lockPoll):
		}
	}
}

// openCurrent opens the file at path, or fails with berrors.ErrTimeout if another
// process has it, or replaced it by a compacted one while this one opened it: the
// lock would be that of a file which has no name any more.
func openCurrent(path string) (*bbolt.DB, error) {
	db, file, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	locked, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if named, err := os.Stat(path); err != nil || !os.SameFile(locked, named) {
		return nil, errors.Join(berrors.ErrTimeout, err, db.Close())
	}
	return db, nil
}

// openBolt returns the database at path and the file that it has open.
func openBolt(path string) (db *bbolt.DB, file *os.File, err error) {
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, fileMode, &bbolt.Options{
			Timeout: tryOnce,
			// Its cost does not grow with the number of free pages.
			FreelistType: bbolt.FreelistMapType,
			OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
				file, err = os.OpenFile(name, flag, mode)
				return file, err
			},
		})
		return err
	})
	if err != nil && file != nil {
		// bbolt has closed it unless it panicked, and then nobody else will.
		_ = file.Close()
	}
	return db, file, err
}

// explain says in words of this package why the file at path did not open.
func explain(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, berrors.ErrInvalid):
		return fmt.Errorf("bolt: %s is not a bolt file: %w", path, err)
	case errors.Is(err, berrors.ErrVersionMismatch):
		return fmt.Errorf("bolt: %s is of a version of the bolt format that this program does not know: %w", path, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("bolt: %s is not writable, which a store needs: %w", path, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("bolt: the directory of %s does not exist: %w", path, err)
	}
	return fmt.Errorf("bolt: %s cannot be opened: %w", path, err)
}

// realPath returns where the file at path is, wherever the process goes and
// whatever links lead there.
func realPath(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// syncDir makes the name of the file at path as durable as its content.
func syncDir(path string) error {
	if runtime.GOOS == "windows" { // cannot sync a directory
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
