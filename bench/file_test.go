package bench

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/tokensession/tokensession/session"
)

// BenchmarkFile downloads a file over TCP, with the middleware and without. It should
// make no difference, because sendfile works in both.
func BenchmarkFile(b *testing.B) {
	const size = 10 << 20
	name := filepath.Join(b.TempDir(), "file.bin")
	if err := os.WriteFile(name, bytes.Repeat([]byte{'x'}, size), 0o600); err != nil {
		b.Fatal(err)
	}
	file := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) })
	sessions := session.New[account](newMemory(b, nil), nil)
	for _, lib := range []struct {
		name string
		http.Handler
	}{
		{"tokensession", sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sessions.Get(r.Context())
			file(w, r)
		}))},
		{"bare", file},
	} {
		b.Run("lib="+lib.name, func(b *testing.B) {
			server := httptest.NewServer(lib)
			defer server.Close()
			b.SetBytes(size)
			for b.Loop() {
				resp, err := server.Client().Get(server.URL)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if n != size || err != nil {
					b.Fatalf("%d bytes, %v", n, err)
				}
			}
		})
	}
}
