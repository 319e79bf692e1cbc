package memory_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
)

func TestOpen(t *testing.T) {
	for _, test := range []struct {
		url    string
		option int // Options.MaxRecords
		want   int // how many of 5 records stay
	}{
		{"memory:", 0, 5},
		{"MEMORY:", 0, 5},
		{"memory:?", 0, 5},
		{"memory:?max_records=0", 0, 5},
		{"memory:?max_records=2", 0, 2},
		{"memory:", 3, 3},
		{"memory:?max_records=2", 3, 2},
	} {
		s, err := memory.Open(t.Context(), test.url, &memory.Options{
			MaxRecords: test.option,
			Logger:     slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Errorf("Open(%q): %v", test.url, err)
			continue
		}
		defer s.Close()
		for _, id := range strings.Split("abcde", "") {
			create(t, s, id, hour)
		}
		if n, err := s.Len(t.Context()); n != test.want || err != nil {
			t.Errorf("Open(%q) with MaxRecords %d kept %d records, %v; want %d",
				test.url, test.option, n, err, test.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{
		"",
		"secret",
		"redis://secret@localhost",
		"memory:secret",
		"memory:/secret",
		"memory://secret",
		"memory:#secret",
		"memory:?secret",
		"memory:?secret=1",
		"memory:?max_records=1&secret=1",
		"memory:?max_records=1&max_records=2",
		"memory:?max_records=",
		"memory:?max_records=-1",
		"memory:?max_records=secret",
		"memory:?max_records=1#secret",
		"memory:?max_records=%secret",
		"memory:?max_records=99999999999999999999",
	} {
		s, err := memory.Open(t.Context(), url, nil)
		if s != nil || err == nil {
			t.Errorf("Open(%q): %v, %v; want an error", url, s, err)
			continue
		}
		if !strings.Contains(err.Error(), `"memory:?max_records=N"`) {
			t.Errorf("Open(%q): %q does not say what is accepted", url, err)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): %q shows the URL", url, err)
		}
	}
}

func TestOpenWithContextDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := memory.Open(ctx, "memory:", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want context.Canceled", err)
	}
}

func TestOpenByScheme(t *testing.T) {
	s, err := tokensession.Open(t.Context(), "memory:?max_records=1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "id"); err != tokensession.ErrNotFound {
		t.Errorf("Get: %v", err)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
	if s, err := tokensession.Open(t.Context(), "memory://host"); s != nil || err == nil {
		t.Errorf("Open of a bad URL: %v, %v; want nil and an error", s, err)
	}
}
