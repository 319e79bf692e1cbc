package storetest

import (
	"context"
	"strings"
	"time"
)

// errorsDiscreet provokes every error that can be provoked, and looks for the id.
func errorsDiscreet(p *probe) {
	canceled, cancel := context.WithCancel(p.Context())
	cancel()
	there, absent := "secretOf"+newID(), "secretOf"+newID()
	p.mustCreate(there, record("data", "owner", time.Hour))
	for _, id := range []string{there, absent, there + " ", there + strings.Repeat("x", 128)} {
		for _, m := range p.methods(id, record("data", "owner", time.Hour)) {
			for _, ctx := range []context.Context{p.Context(), canceled} {
				if err := m.call(ctx); err != nil && strings.Contains(err.Error(), id[:9]) {
					p.fatalf("%s reports: %v", m.name, err)
				}
			}
		}
	}
}
