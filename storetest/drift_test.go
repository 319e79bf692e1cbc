package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
)

// drifting is a store that keeps all the rules by a clock that runs a little fast or slow, on a machine
// that stops for a second now and then.
type drifting struct {
	*reference
	rate  float64 // of its clock
	calls atomic.Int64
}

func newDrifting(s *reference, rate float64) tokensession.Store {
	d := &drifting{reference: s, rate: rate}
	lasting(s, func(now time.Time, ttl time.Duration) time.Time {
		return now.Add(time.Duration(float64(ttl) / rate))
	})
	s.check = func(ctx context.Context, id string, rec *tokensession.Record) error {
		d.stop()
		return tokensession.Check(ctx, id, rec)
	}
	return d
}

// stop stops the machine now and then.
func (s *drifting) stop() {
	if s.calls.Add(1)%50 == 0 {
		time.Sleep(time.Second)
	}
}

// shown is rec with the TTL by the clock of s.
func (s *drifting) shown(rec tokensession.Record) tokensession.Record {
	if rec.TTL != tokensession.Forever {
		rec.TTL = max(1, time.Duration(float64(rec.TTL)*s.rate))
	}
	return rec
}

func (s *drifting) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.reference.Get(ctx, id)
	return s.shown(rec), err
}

func (s *drifting) All(ctx context.Context) entries { return s.stopped(s.reference.All(ctx)) }

func (s *drifting) ByOwner(ctx context.Context, owner string) entries {
	return s.stopped(s.reference.ByOwner(ctx, owner))
}

func (s *drifting) stopped(seq entries) entries {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range seq {
			s.stop()
			e.Record = s.shown(e.Record)
			if !yield(e, err) {
				return
			}
		}
	}
}

// TestDrift wants what clocks do to be no finding, however long a check takes.
func TestDrift(t *testing.T) {
	for _, rate := range []float64{1 - 400e-6, 1 + 400e-6} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := suite(func(s *reference) tokensession.Store { return newDrifting(s, rate) })
				s.InProcess, s.hangs = false, time.Minute
				for i := range rules {
					for _, c := range rules[i].checks {
						if rec := s.examine(t, &rules[i], c); rec.failed {
							t.Errorf("%s/%s: %s", rules[i].name, c.name, strings.Join(rec.lines, "\n"))
						}
					}
				}
			})
		})
	}
}
