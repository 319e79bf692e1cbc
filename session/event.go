package session

import (
	"context"
	"log/slog"
)

// event is what an auditor looks for. The package comment has the table; names,
// messages and attributes stay as they are from version to version.
type event struct {
	name, message string
	level         slog.Level
}

var (
	eventStarted   = event{"started", "session: started", slog.LevelInfo}
	eventRenewed   = event{"renewed", "session: renewed", slog.LevelInfo}
	eventDestroyed = event{"destroyed", "session: destroyed", slog.LevelInfo}
	eventExpired   = event{"expired", "session: expired", slog.LevelInfo}
	eventRevoked   = event{"revoked", "session: revoked", slog.LevelInfo}

	// Anybody can send tokens that mean nothing, and every browser goes on sending
	// the one of a session that expired; so these do not fill a log by default.
	eventRejected = event{"rejected", "session: token rejected", slog.LevelDebug}

	// Who sends the ID of a live session without its secret has got hold of an old
	// token, or is guessing.
	eventRejectedForLive = event{"rejected", "session: token rejected", slog.LevelInfo}
)

// Reasons of a rejection.
const (
	reasonMalformed = "malformed"
	reasonUnknown   = "unknown"
	reasonSecret    = "wrong secret"
	reasonFormer    = "former secret"
)

// audit logs an event; it allocates nothing if its level is not enabled. The id may be
// empty, and extra the zero Attr, which handlers leave out.
func (m *Manager[T]) audit(ctx context.Context, e *event, id string, extra slog.Attr) {
	if m.events == nil {
		return
	}
	var session slog.Attr
	if id != "" {
		session = slog.String("session", id)
	}
	m.events.LogAttrs(ctx, e.level, e.message, slog.String("event", e.name), session, extra)
}

func (m *Manager[T]) rejected(ctx context.Context, e *event, id, reason string) {
	m.audit(ctx, e, id, slog.String("reason", reason))
}
