package bolt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

const (
	// childEnv makes this test binary the victim of TestKill; its value is the
	// file's URL.
	childEnv = "TOKENSESSION_BOLT_CHILD"

	killRounds  = 20
	killWriters = 16
)

func TestMain(m *testing.M) {
	if url := os.Getenv(childEnv); url != "" {
		child(url)
	}
	os.Exit(m.Run())
}

// child writes until it is killed. Each writer creates a record, updates it, and
// deletes it if its number is odd. After each call that returned, it prints the
// record's id and how many calls were made for it.
func child(url string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	s, err := Open(ctx, url, nil)
	check(err)
	run := rand.Uint64()
	for w := range killWriters {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%x-%d-%d", run, w, i)
				v, err := s.Create(ctx, id, tokensession.Record{Owner: "o", TTL: time.Hour})
				check(err)
				fmt.Println(id, 1)
				_, err = s.Update(ctx, id, tokensession.Record{Data: []byte("updated"), Version: v, Owner: "o", TTL: time.Hour})
				check(err)
				fmt.Println(id, 2)
				if i%2 == 1 {
					check(s.Delete(ctx, id))
					fmt.Println(id, 3)
				}
			}
		}()
	}
	for {
		check(s.Compact(ctx))
		time.Sleep(5 * time.Millisecond)
	}
}

// A process that is killed while it writes and compacts loses nothing that it has
// acknowledged, and its file opens.
func TestKill(t *testing.T) {
	path := tempFile(t)
	acked := map[string]string{} // by id, how many calls returned
	for round := range killRounds {
		killChild(t, path, acked, round == 0)
		s := openTest(t, "bolt:"+path)
		checkAcked(t, s, acked)
		checkFile(t, s)
		if _, err := os.Stat(path + compactSuffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Open left what a dead Compact had made: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d records acknowledged", len(acked))
}

// killChild runs a child and kills it under load. If locked, it tries to open the
// file meanwhile.
func killChild(t *testing.T, path string, acked map[string]string, locked bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=bolt:"+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewReader(out)
	for first := true; ; first = false {
		line, err := lines.ReadString('\n')
		if err != nil {
			if first {
				t.Fatal("the child died early")
			}
			return
		}
		id, calls, _ := strings.Cut(strings.TrimSpace(line), " ")
		acked[id] = calls
		if !first {
			continue
		}
		if locked {
			wantLocked(t, path)
		}
		time.AfterFunc(time.Duration(20+rand.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
	}
}

func wantLocked(t *testing.T, path string) {
	t.Helper()
	_, err := Open(t.Context(), "bolt:"+path+"?lock_timeout=50ms", nil)
	if err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("Open of another process's file: %v", err)
	}
}

func checkAcked(t *testing.T, s *Store, acked map[string]string) {
	t.Helper()
	for id, calls := range acked {
		rec, err := s.Get(t.Context(), id)
		deletes := (id[len(id)-1]-'0')%2 == 1
		switch {
		case calls == "1" && err != nil,
			calls == "2" && !deletes && (err != nil || string(rec.Data) != "updated"),
			calls == "2" && err != nil && !errors.Is(err, tokensession.ErrNotFound),
			calls == "3" && !errors.Is(err, tokensession.ErrNotFound):
			t.Errorf("%s: after %s acknowledged calls: %q, %v", id, calls, rec.Data, err)
		}
	}
}

// checkFile checks bbolt's pages and that the indexes are in step.
func checkFile(t *testing.T, s *Store) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := keys(t, s, recordsName)
	wantKeys(t, s, n, n, n)
}
