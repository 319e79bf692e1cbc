package faultnet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// counter is a server that answers each line with how many it has read.
type counter struct {
	net.Listener
	lines atomic.Int64
}

func startCounter(t *testing.T) *counter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(conn)
		}
	}()
	return c
}

func (c *counter) serve(conn net.Conn) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		fmt.Fprintf(conn, "line %d\n", c.lines.Add(1))
	}
}

// await waits until the server has read n lines.
func (c *counter) await(t *testing.T, n int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("the server has read %d lines", n), func() bool { return c.lines.Load() == n })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("not after 10 s: %s", what)
		}
	}
}

// client sends lines and reads answers.
type client struct {
	*testing.T
	*net.TCPConn
	answers *bufio.Reader
}

func dial(t *testing.T, p *Proxy) *client {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn.(*net.TCPConn), bufio.NewReader(conn)}
}

func (c *client) send(line string) { fmt.Fprintln(c.TCPConn, line) }

func (c *client) want(answer string) {
	c.Helper()
	if got, err := c.answers.ReadString('\n'); got != answer+"\n" {
		c.Fatalf("got %q, %v; want %q", got, err, answer)
	}
}

// wantNothing looks for a while whether anything comes.
func (c *client) wantNothing() {
	c.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	defer c.SetReadDeadline(time.Time{})
	if got, err := c.answers.ReadString('\n'); got != "" || !errors.Is(err, os.ErrDeadlineExceeded) {
		c.Fatalf("got %q, %v; want nothing", got, err)
	}
}

// wantEnd wants the connection to have ended, as how says, after some bytes.
func (c *client) wantEnd(how End, after string) {
	c.Helper()
	got, err := io.ReadAll(c.answers)
	if string(got) != after {
		c.Fatalf("got %q, %v; want %q", got, err, after)
	}
	if how == Hangup && err != nil || how == Reset && !errors.Is(err, syscall.ECONNRESET) {
		c.Fatalf("the connection ended with %v", err)
	}
}

func TestPasses(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	defer server.Close()
	p := New(t, server.Listener.Addr().String())
	sent := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	reply, err := server.Client().Post("https://"+p.Addr(), "", bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if got, err := io.ReadAll(reply.Body); !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back: %v", len(got), len(sent), err)
	}
}

// A stream ends in one direction, and goes on in the other.
func TestHalfClosed(t *testing.T) {
	p := New(t, startCounter(t).Addr().String())
	c := dial(t, p)
	c.send("a")
	c.CloseWrite()
	c.wantEnd(Hangup, "line 1\n")
	eventually(t, "the connection is gone", func() bool { return p.Connections() == 0 })
}

func TestCut(t *testing.T) {
	for _, how := range []End{Hangup, Reset} {
		p := New(t, startCounter(t).Addr().String())
		c := dial(t, p)
		c.send("a")
		c.want("line 1")
		for range 3 {
			p.Cut(how)
			c.wantEnd(how, "")
			if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("dialing while it is cut: %v", err)
			}
			p.Heal()
			c = dial(t, p)
			c.send("a")
			c.answers.ReadString('\n')
		}
	}
}

// Connections that go silent are not healed, and end when the client ends them.
func TestCutSilence(t *testing.T) {
	server := startCounter(t)
	p := New(t, server.Addr().String())
	c, stays := dial(t, p), dial(t, p)
	c.send("a")
	c.want("line 1")
	p.Cut(Silence)
	c.send("b")
	c.wantNothing()
	p.Heal()
	c.send("b")
	c.wantNothing()
	c.Close()
	stays.Close()
	eventually(t, "the connections are gone", func() bool { return p.Connections() == 0 })
	if n := server.lines.Load(); n != 1 {
		t.Errorf("the server has read %d lines", n)
	}
}

func TestCutStay(t *testing.T) {
	p := New(t, startCounter(t).Addr().String())
	c := dial(t, p)
	c.send("a")
	c.want("line 1")
	p.Cut(Stay)
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dialing while it is cut: %v", err)
	}
	c.send("b")
	c.want("line 2")
}

func TestStallRequests(t *testing.T) {
	server := startCounter(t)
	p := New(t, server.Addr().String())
	patient, gone := dial(t, p), dial(t, p)
	patient.send("a")
	patient.want("line 1")
	p.Stall(Requests)
	gone.send("b")
	patient.send("c")
	patient.wantNothing()
	if n := server.lines.Load(); n != 1 {
		t.Errorf("the server has read %d lines while requests stall", n)
	}
	gone.Close()
	p.Heal()
	server.await(t, 3) // that of the client who has gone, too
	if _, err := patient.answers.ReadString('\n'); err != nil {
		t.Error(err)
	}
	eventually(t, "the connection that was left is gone", func() bool { return p.Connections() == 1 })
}

func TestStallAnswers(t *testing.T) {
	server := startCounter(t)
	p := New(t, server.Addr().String())
	c := dial(t, p)
	p.Stall(Answers)
	c.send("a")
	server.await(t, 1)
	c.wantNothing()
	p.Heal()
	c.want("line 1")
}

// Nobody reads what is sent to a server that stalls.
func TestStallPressure(t *testing.T) {
	p := New(t, startCounter(t).Addr().String())
	c := dial(t, p)
	p.Stall(Both)
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := c.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were taken: %v", n, err)
	}
}

func TestDelay(t *testing.T) {
	p := New(t, startCounter(t).Addr().String())
	c := dial(t, p)
	for _, delay := range [][2]time.Duration{{20 * time.Millisecond, 0}, {0, 20 * time.Millisecond}, {10 * time.Millisecond, 10 * time.Millisecond}} {
		p.Delay(delay[0], delay[1])
		begun := time.Now()
		c.send("a")
		if _, err := c.answers.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 20*time.Millisecond {
			t.Errorf("an answer came after %v", took)
		}
	}
	p.Delay(time.Hour, time.Hour)
	c.send("a")
	p.Heal()
	c.want("line 4")
}

// Each Portion, with each End, of the answer that is asked for; and then no other.
func TestNext(t *testing.T) {
	for pass, bytes := range map[Portion]string{Nothing: "", Half: "lin", All: "line 3\n"} {
		for _, end := range []End{Hangup, Reset, Silence, Stay} {
			t.Run(fmt.Sprintf("pass %d, end %d", pass, end), func(t *testing.T) {
				server := startCounter(t)
				p := New(t, server.Addr().String())
				c := dial(t, p)
				var read int64
				happened := p.Next(Fault{
					Skip:      1,
					Match:     func(request []byte) bool { return strings.HasPrefix(string(request), "count") },
					Meanwhile: func() { read = server.lines.Load() },
					Pass:      pass,
					End:       end,
				})
				c.send("count")
				c.want("line 1")
				c.send("do not count")
				c.want("line 2")
				select {
				case <-happened:
					t.Error("it happened too early")
				default:
				}
				c.send("count")
				if end == Hangup || end == Reset {
					c.wantReset(end, bytes)
				} else {
					got := make([]byte, len(bytes))
					if _, err := io.ReadFull(c.answers, got); string(got) != bytes {
						t.Errorf("got %q, %v; want %q", got, err, bytes)
					}
					c.wantNothing()
				}
				<-happened
				if read != 3 {
					t.Errorf("the server had read %d lines in the meantime", read)
				}
				switch end {
				case Stay:
					c.send("count")
					c.want("line 4")
				case Silence:
					c.send("count")
					c.wantNothing()
				}
				other := dial(t, p)
				other.send("count")
				if _, err := other.answers.ReadString('\n'); err != nil {
					t.Errorf("it happened twice: %v", err)
				}
			})
		}
	}
}

// wantReset is wantEnd, but what came before a reset may be lost with it.
func (c *client) wantReset(how End, after string) {
	c.Helper()
	if how != Reset {
		c.wantEnd(how, after)
		return
	}
	got, err := io.ReadAll(c.answers)
	if !strings.HasPrefix(after, string(got)) || !errors.Is(err, syscall.ECONNRESET) {
		c.Fatalf("got %q, %v; want a reset, and %q at most", got, err, after)
	}
}

// Heal disarms.
func TestNextHealed(t *testing.T) {
	p := New(t, startCounter(t).Addr().String())
	c := dial(t, p)
	p.Next(Fault{})
	p.Heal()
	c.send("a")
	c.want("line 1")
}

// What Meanwhile begins holds for the answer.
func TestMeanwhile(t *testing.T) {
	p := New(t, startCounter(t).Addr().String())
	c := dial(t, p)
	stalled := p.Next(Fault{Meanwhile: func() { p.Stall(Answers) }, Pass: All, End: Stay})
	c.send("a")
	<-stalled
	c.wantNothing()
	p.Heal()
	c.want("line 1")
}

// A server that refuses connections breaks those of the clients.
func TestRefused(t *testing.T) {
	server := startCounter(t)
	p := New(t, server.Addr().String())
	server.Close()
	conn, err := net.Dial("tcp", p.Addr())
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a client without a server: %v", err)
	}
}

func TestClose(t *testing.T) {
	for name, fault := range map[string]func(*Proxy){
		"healthy": func(*Proxy) {},
		"cut":     func(p *Proxy) { p.Cut(Silence) },
		"stalled": func(p *Proxy) { p.Stall(Both) },
		"delayed": func(p *Proxy) { p.Delay(time.Hour, time.Hour) },
		"armed":   func(p *Proxy) { p.Next(Fault{Pass: Half, End: Silence}) },
	} {
		t.Run(name, func(t *testing.T) {
			server := startCounter(t)
			var p *Proxy
			pprof.Do(t.Context(), pprof.Labels("proxy", t.Name()), func(context.Context) {
				p = New(t, server.Addr().String())
			})
			c := dial(t, p)
			c.send("a")
			c.want("line 1")
			fault(p)
			c.send("b")
			c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			c.Write(make([]byte, 1<<20))
			p.Close()
			p.Close()
			eventually(t, "its goroutines have ended, some at this moment", func() bool {
				var left bytes.Buffer
				pprof.Lookup("goroutine").WriteTo(&left, 1)
				return !strings.Contains(left.String(), t.Name())
			})
			if _, err := net.Dial("tcp", p.Addr()); err == nil {
				t.Error("it still accepts connections")
			}
			p.Heal()
			if _, err := net.Dial("tcp", p.Addr()); err == nil {
				t.Error("Heal opened it again")
			}
		})
	}
}
