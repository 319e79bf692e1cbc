package session

import (
	"bufio"
	"io"
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

// WriteString spares what is under it the copy that io.WriteString would make.
func (w *writer) WriteString(s string) (int, error) {
	if err := w.commit.save(); err != nil {
		return 0, err
	}
	return io.WriteString(w.ResponseWriter, s)
}

// sniffLen is how much [http.DetectContentType] looks at.
const sniffLen = 512

// ReadFrom lets io.Copy reach sendfile in what is under it. The first bytes it copies
// by itself, as net/http does: before the source has something to give, no response
// begins, and the session may still change.
//
// It does not look for a ReadFrom further down: a middleware that has none, but
// compresses in its Write, must not be passed by.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.CopyN(onlyWriter{w}, src, sniffLen)
	if err != nil {
		if err == io.EOF {
			err = nil
		}
		return n, err
	}
	rest, err := io.Copy(w.ResponseWriter, src)
	return n + rest, err
}

// onlyWriter hides ReadFrom from io.Copy.
type onlyWriter struct{ io.Writer }

// Push passes on to what is under it, and begins no response. It is there in any case,
// because [http.Pusher] promises nothing: it has an error for that.
func (w *writer) Push(target string, o *http.PushOptions) error {
	p, ok := under[http.Pusher](w.ResponseWriter)
	if !ok {
		return http.ErrNotSupported
	}
	return p.Push(target, o)
}

// CloseNotify is for what still asks for it, as the Stream of gin does, which panics
// where it is missing. Where nothing under w can tell, the channel stays silent.
func (w *writer) CloseNotify() <-chan bool {
	c, ok := under[interface{ CloseNotify() <-chan bool }](w.ResponseWriter)
	if !ok {
		return nil
	}
	return c.CloseNotify()
}

// offer returns w with those of Flush and Hijack that something under it has:
// handlers ask for them by type assertion, and take them for a promise.
func (w *writer) offer() http.ResponseWriter {
	var flushes, hijacks bool
	for each := w.ResponseWriter; each != nil && !(flushes && hijacks); each = unwrapped(each) {
		switch each.(type) {
		case http.Flusher, interface{ FlushError() error }:
			flushes = true
		}
		_, hijacker := each.(http.Hijacker)
		hijacks = hijacks || hijacker
	}
	switch {
	case flushes && hijacks:
		return flushHijacker{flusher{w}}
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
	flushHijacker struct{ flusher }
)

func (f flusher) Flush() { _ = f.FlushError() } // http.Flusher has no error

// FlushError is what [http.ResponseController] calls.
func (f flusher) FlushError() error {
	if err := f.commit.save(); err != nil {
		return err
	}
	return http.NewResponseController(f.ResponseWriter).Flush()
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error)      { return h.hijack() }
func (h flushHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.hijack() }

func (w *writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.commit.save(); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// under looks for T in w and in what it wraps.
func under[T any](w http.ResponseWriter) (T, bool) {
	for ; w != nil; w = unwrapped(w) {
		if t, ok := w.(T); ok {
			return t, true
		}
	}
	return *new(T), false
}

// unwrapped returns what w wraps, nil if nothing.
func unwrapped(w http.ResponseWriter) http.ResponseWriter {
	if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		return u.Unwrap()
	}
	return nil
}

// private is the ResponseWriter of an OnError whose response carries a token: whatever it says
// of caches, they keep out.
type private struct{ http.ResponseWriter }

func (w private) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w private) WriteHeader(status int) {
	forbidStoring(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

func (w private) Write(b []byte) (int, error) {
	forbidStoring(w.Header())
	return w.ResponseWriter.Write(b)
}
