package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

const (
	// compactSuffix is that of the copy that Compact makes beside the file. Only
	// the process that has locked the file touches it, so its name can be fixed.
	compactSuffix = ".tokensession-compact"

	// compactBytes are copied in one transaction, which stands in memory.
	compactBytes = 16 << 20
)

// Compact gives back the space of what was removed: a bbolt file never shrinks by
// itself. Reads go on meanwhile, writes wait. It needs room for a copy beside the
// file. A crash leaves the old file or the new one, whole, and the next Open removes
// what else is left.
//
// It cannot replace the file of a database that was passed to New, nor, on Windows,
// any file that is open. The error then wraps [errors.ErrUnsupported].
func (s *Store) Compact(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.committing.Lock()
	defer s.committing.Unlock()
	if s.db == nil { // Close, which sets it, holds s.committing too
		return tokensession.ErrClosed
	}
	if s.path == "" {
		return fmt.Errorf("bolt: compact: the database is its owner's to compact: %w", errors.ErrUnsupported)
	}
	if runtime.GOOS == "windows" {
		return fmt.Errorf("bolt: compact: on Windows: %w", errors.ErrUnsupported)
	}
	return outcome("compact", "", s.compact())
}

func (s *Store) compact() error {
	temp := s.path + compactSuffix
	db, err := copyTo(temp, s.path, s.db)
	if err != nil {
		return errors.Join(err, removeIfThere(temp))
	}
	if err := os.Rename(temp, s.path); err != nil {
		return errors.Join(err, db.Close(), os.Remove(temp))
	}
	// The new file was locked before it had this name. Whoever waits for the lock
	// of the old one finds, once he has it, that it has no name: see openCurrent.
	return errors.Join(syncDir(s.path), s.swap(db).Close())
}

// copyTo copies src, whose file is at path, into a new file at temp, and returns
// that open, locked and synced.
func copyTo(temp, path string, src *bbolt.DB) (_ *bbolt.DB, err error) {
	if err := removeIfThere(temp); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	db, file, err := openBolt(temp)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if err := file.Chmod(info.Mode().Perm()); err != nil {
		return nil, err
	}
	db.NoSync = true // one sync at the end will do
	if err := guard(func() error { return bbolt.Compact(db, src, compactBytes) }); err != nil {
		return nil, err
	}
	db.NoSync = false
	return db, db.Sync()
}

// swap makes db the database of s and returns the one that was.
func (s *Store) swap(db *bbolt.DB) *bbolt.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.db
	s.db = db
	return old
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
