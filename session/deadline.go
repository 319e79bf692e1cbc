package session

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a given time, and makes its timer only when
// somebody asks for Done: most stores never do, and a timer costs more than a Get
// from memory. It is used once.
type deadline struct {
	context.Context // the parent
	at              time.Time
	detached        bool

	released bool // mu guards this and what follows
	mu       sync.Mutex
	timed    context.Context // the parent with a timer, once Done was called
	stop     context.CancelFunc
}

// start makes d what [context.WithTimeout] of parent is. The caller calls release.
func (d *deadline) start(parent context.Context, now time.Time, timeout time.Duration) {
	d.Context, d.at = parent, now.Add(timeout)
	if earlier, ok := parent.Deadline(); ok && earlier.Before(d.at) {
		d.at = earlier
	}
}

// startDetached is start without parent's end and deadline, as
// [context.WithoutCancel] has it.
func (d *deadline) startDetached(parent context.Context, now time.Time, timeout time.Duration) {
	d.Context, d.at, d.detached = parent, now.Add(timeout), true
}

func (d *deadline) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.released = true
	if d.stop != nil {
		d.stop()
	}
}

func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

// Value hides the parent's end from what package context looks for in it.
func (d *deadline) Value(key any) any {
	if d.detached {
		return context.WithoutCancel(d.Context).Value(key)
	}
	return d.Context.Value(key)
}

func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		parent := d.Context
		if d.detached {
			parent = context.WithoutCancel(parent)
		}
		d.timed, d.stop = context.WithDeadline(parent, d.at)
		if d.released {
			d.stop()
		}
	}
	return d.timed.Done()
}

func (d *deadline) Err() error {
	d.mu.Lock()
	timed, released := d.timed, d.released
	d.mu.Unlock()
	if timed != nil {
		return timed.Err()
	}
	if released {
		return context.Canceled
	}
	if !d.detached {
		if err := d.Context.Err(); err != nil {
			return err
		}
	}
	if time.Until(d.at) <= 0 {
		return context.DeadlineExceeded
	}
	return nil
}
