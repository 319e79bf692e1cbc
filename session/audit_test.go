package session

import (
	"log/slog"
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
