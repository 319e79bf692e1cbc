package session

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/tokensession/tokensession/memory"
)

func TestDisabledEventsCostNothing(t *testing.T) {
	store := memory.New(nil)
	defer store.Close()
	m := New(store, &Options[struct{}]{Logger: slog.New(slog.DiscardHandler)})
	ctx, id := t.Context(), m.Start().ID()
	cost := testing.AllocsPerRun(100, func() {
		m.audit(ctx, &eventStarted, id, slog.Attr{})
		m.audit(ctx, &eventRevoked, "", slog.Int("count", 1000))
		m.rejected(ctx, &eventRejected, id, reasonUnknown)
	})
	if cost != 0 {
		t.Errorf("%v allocations", cost)
	}
}

// Events are for whoever asks for them: an application that has set no Logger sees in its
// log what goes wrong, and not every visitor.
func TestNoLoggerGetsNoEvents(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var log strings.Builder
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	store := memory.New(nil)
	defer store.Close()
	s := New[struct{}](store, nil).Start()
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", &log)
	}
}
