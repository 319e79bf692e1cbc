package session

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a given time, or with its parent, and makes
// its timer only when somebody asks for Done: most stores never do, and a timer
// costs more than a Get from memory.
type deadline struct {
	context.Context // the parent
	at              time.Time

	mu    sync.Mutex
	timed context.Context // the parent with a timer, once Done was called
	stop  context.CancelFunc
}

// withTimeout is [context.WithTimeout], lazily. The caller calls release.
func withTimeout(parent context.Context, now time.Time, timeout time.Duration) *deadline {
	at := now.Add(timeout)
	if earlier, ok := parent.Deadline(); ok && earlier.Before(at) {
		at = earlier
	}
	return &deadline{Context: parent, at: at}
}

func (d *deadline) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		d.stop()
	}
}

func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.stop = context.WithDeadline(d.Context, d.at)
	}
	return d.timed.Done()
}

func (d *deadline) Err() error {
	d.mu.Lock()
	timed := d.timed
	d.mu.Unlock()
	if timed != nil {
		return timed.Err()
	}
	if err := d.Context.Err(); err != nil {
		return err
	}
	if time.Until(d.at) <= 0 {
		return context.DeadlineExceeded
	}
	return nil
}
