package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadlineIsAContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		withTimeout := func(parent context.Context, now time.Time, timeout time.Duration) *deadline {
			d := new(deadline)
			d.start(parent, now, timeout)
			return d
		}
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		now := time.Now()

		unasked := withTimeout(parent, now, time.Second)
		asked := withTimeout(parent, now, time.Second)
		child, cancelChild := context.WithCancel(asked)
		defer cancelChild()
		if at, ok := unasked.Deadline(); !ok || at != now.Add(time.Second) || unasked.Value(key{}) != "value" {
			t.Errorf("deadline %v %v", at, ok)
		}
		if unasked.Err() != nil || asked.Err() != nil {
			t.Error("done before its time")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for name, ctx := range map[string]context.Context{"unasked": unasked, "asked": asked, "child": child} {
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, ctx.Err())
			}
			<-ctx.Done()
		}

		later := withTimeout(parent, time.Now(), time.Second)
		sooner, cancelSooner := context.WithTimeout(parent, time.Millisecond)
		defer cancelSooner()
		if at, _ := withTimeout(sooner, time.Now(), time.Second).Deadline(); at != time.Now().Add(time.Millisecond) {
			t.Errorf("the parent's earlier deadline is forgotten: %v", at)
		}
		done := later.Done()
		later.release()
		<-done
		later = withTimeout(parent, time.Now(), time.Second)
		detached, detachedAsked := new(deadline), new(deadline)
		detached.startDetached(parent, time.Now(), time.Second)
		detachedAsked.startDetached(parent, time.Now(), time.Second)
		detachedAsked.Done()
		cancel()
		synctest.Wait()
		for _, d := range []*deadline{detached, detachedAsked} {
			if d.Err() != nil || d.Value(key{}) != "value" {
				t.Errorf("detached, after the parent's end: %v", d.Err())
			}
		}
		if !errors.Is(later.Err(), context.Canceled) {
			t.Errorf("after the parent's end: %v", later.Err())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for _, d := range []*deadline{detached, detachedAsked} {
			if !errors.Is(d.Err(), context.DeadlineExceeded) {
				t.Errorf("detached, after its time: %v", d.Err())
			}
		}
	})
}
