package session

import (
	"bufio"
	"net"
	"net/http"
)

// writer saves the session before the first byte of the response. It has Unwrap, so
// that [http.ResponseController] reaches what is under it.
type writer struct {
	http.ResponseWriter
	commit interface{ save() error }
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	// 1xx go before the header, except 101, which is one.
	if status >= 200 || status == http.StatusSwitchingProtocols {
		if w.commit.save() != nil {
			return
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	if err := w.commit.save(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}

// FlushError is what [http.ResponseController] calls.
func (w *writer) FlushError() error {
	if err := w.commit.save(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// offer returns w with those of Flush and Hijack that something under it has, since
// handlers ask for them by type assertion.
func (w *writer) offer() http.ResponseWriter {
	flushes, hijacks := has[http.Flusher](w.ResponseWriter), has[http.Hijacker](w.ResponseWriter)
	switch {
	case flushes && hijacks:
		return flushHijacker{w}
	case flushes:
		return flusher{w}
	case hijacks:
		return hijacker{w}
	}
	return w
}

type (
	flusher       struct{ *writer }
	hijacker      struct{ *writer }
	flushHijacker struct{ *writer }
)

func (f flusher) Flush()       { f.flush() }
func (f flushHijacker) Flush() { f.flush() }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error)      { return h.hijack() }
func (h flushHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.hijack() }

func (w *writer) flush() { _ = w.FlushError() } // http.Flusher has no error

func (w *writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.commit.save(); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// has looks for T in w and in what it wraps.
func has[T any](w http.ResponseWriter) bool {
	for {
		if _, ok := w.(T); ok {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}
