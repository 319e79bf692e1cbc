package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/storetest"
)

// steps are the stores of docs/writing-a-driver.md that were not good enough: each is the
// finished one but for one thing.
var steps = map[string]func(*Store) tokensession.Store{
	"inserting": func(s *Store) tokensession.Store { return inserting{s} },
	"replacing": func(s *Store) tokensession.Store { return replacing{s} },
	"looking":   func(s *Store) tokensession.Store { return looking{s} },
	"counting":  func(s *Store) tokensession.Store { return counting{s} },
	"seconds":   func(s *Store) tokensession.Store { return seconds{s} },
	"expired":   func(s *Store) tokensession.Store { return expired{s} },
	"absent":    func(s *Store) tokensession.Store { return absent{s} },
	"prefixed":  func(s *Store) tokensession.Store { return newPrefixed(s) },
	"holding":   func(s *Store) tokensession.Store { return holding{s} },
	"impatient": impatient,
}

// inserting creates with a statement that knows nothing of what is there.
type inserting struct{ *Store }

func (s inserting) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := check(ctx, id, rec); err != nil {
		return "", err
	}
	version := rand.Text()
	_, err := s.db.ExecContext(ctx, `INSERT INTO sessions (`+columns+`, namespace) VALUES (?, ?, ?, ?, ?, ?)`,
		id, rec.Owner, version, rec.Data, expiry(time.Now().UnixNano(), rec.TTL), s.namespace)
	return tokensession.Version(version), err
}

// replacing creates with the statement that every tutorial has.
type replacing struct{ *Store }

func (s replacing) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := check(ctx, id, rec); err != nil {
		return "", err
	}
	version := rand.Text()
	_, err := s.db.ExecContext(ctx, `REPLACE INTO sessions (`+columns+`, namespace) VALUES (?, ?, ?, coalesce(?, x''), ?, ?)`,
		id, rec.Owner, version, rec.Data, expiry(time.Now().UnixNano(), rec.TTL), s.namespace)
	return tokensession.Version(version), err
}

// looking looks whether the Version is the right one before it writes.
type looking struct{ *Store }

func (s looking) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := check(ctx, id, rec); err != nil {
		return "", err
	}
	now := time.Now().UnixNano()
	r, err := s.find(ctx, s.db, id, now)
	if err != nil {
		return "", err
	}
	if r.version != string(rec.Version) {
		return "", tokensession.ErrConflict
	}
	version := rand.Text()
	_, err = s.db.ExecContext(ctx, `REPLACE INTO sessions (`+columns+`, namespace) VALUES (?, ?, ?, coalesce(?, x''), ?, ?)`,
		id, rec.Owner, version, rec.Data, expiry(now, rec.TTL), s.namespace)
	return tokensession.Version(version), err
}

// counting numbers the states of a record.
type counting struct{ *Store }

func (s counting) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if _, err := s.Store.Create(ctx, id, rec); err != nil {
		return "", err
	}
	_, err := s.db.ExecContext(ctx, `UPDATE sessions SET version = '1' WHERE namespace = ? AND id = ?`, s.namespace, id)
	return "1", err
}

func (s counting) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if _, err := s.Store.Update(ctx, id, rec); err != nil {
		return "", err
	}
	n, _ := strconv.Atoi(string(rec.Version))
	version := strconv.Itoa(n + 1)
	_, err := s.db.ExecContext(ctx, `UPDATE sessions SET version = ? WHERE namespace = ? AND id = ?`, version, s.namespace, id)
	return tokensession.Version(version), err
}

// seconds has the expiry in seconds, as unixepoch() has them.
type seconds struct{ *Store }

func (s seconds) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl}); err != nil {
		return err
	}
	expires := int64(never)
	if ttl != tokensession.Forever {
		expires = time.Now().Add(ttl).Unix() * int64(time.Second)
	}
	return s.touch(ctx, id, expires, time.Now().UnixNano())
}

// early asks for the time before it has the lock.
type early struct{ *Store }

func (s early) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl}); err != nil {
		return err
	}
	now := time.Now().UnixNano()
	return s.touch(ctx, id, expiry(now, ttl), now)
}

func (s *Store) touch(ctx context.Context, id string, expires, now int64) error {
	n, err := changed(s.db.ExecContext(ctx,
		`UPDATE sessions SET expires = ? WHERE namespace = ? AND id = ? AND expires > ?`, expires, s.namespace, id, now))
	if err == nil && n == 0 {
		return tokensession.ErrNotFound
	}
	return err
}

// snapshot believes that what has expired by what is committed is gone.
type snapshot struct{ *Store }

func (s snapshot) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return tokensession.Record{}, err
	}
	now := time.Now().UnixNano()
	r, err := s.find(ctx, s.db, id, now)
	if err != nil {
		return tokensession.Record{}, outcome(ctx, "get", id, err)
	}
	return r.record(now), nil
}

// expired counts all rows.
type expired struct{ *Store }

func (s expired) Len(ctx context.Context) (n int, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT count(*) FROM sessions WHERE namespace = ?`, s.namespace).Scan(&n)
	return n, err
}

// absent takes every error for an absence.
type absent struct{ *Store }

func (s absent) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.Store.Get(ctx, id)
	if err != nil {
		return rec, tokensession.ErrNotFound
	}
	return rec, nil
}

// prefixed keeps namespaces apart by what its ids begin with.
type prefixed struct {
	*Store
	prefix string
}

func newPrefixed(s *Store) prefixed {
	prefix := s.namespace + ":"
	s.namespace = ""
	return prefixed{s, prefix}
}

func (s prefixed) Get(ctx context.Context, id string) (tokensession.Record, error) {
	return s.Store.Get(ctx, s.prefix+id)
}

func (s prefixed) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.Store.Create(ctx, s.prefix+id, rec)
}

func (s prefixed) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.Store.Update(ctx, s.prefix+id, rec)
}

func (s prefixed) Touch(ctx context.Context, id string, ttl time.Duration) error {
	return s.Store.Touch(ctx, s.prefix+id, ttl)
}

func (s prefixed) Delete(ctx context.Context, id string) error {
	return s.Store.Delete(ctx, s.prefix+id)
}

func (s prefixed) Len(ctx context.Context) (n int, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT count(*) FROM sessions WHERE id LIKE ?`, s.prefix+"%").Scan(&n)
	return n, err
}

// holding yields in the transaction.
type holding struct{ *Store }

func (s holding) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		err := s.exclusive(ctx, "all", "", func(tx *sql.Tx, now int64) error {
			rows, err := tx.QueryContext(ctx, `SELECT `+columns+` FROM sessions WHERE namespace = ? AND expires > ?`, s.namespace, now)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var r row
				if err := rows.Scan(r.fields()...); err != nil {
					return err
				}
				if !yield(tokensession.Entry{ID: r.id, Record: r.record(now)}, nil) {
					return nil
				}
			}
			return rows.Err()
		})
		if err != nil {
			yield(tokensession.Entry{}, err)
		}
	}
}

// impatient opens the file as it comes.
func impatient(s *Store) tokensession.Store {
	var file string
	if err := s.db.QueryRow(`SELECT file FROM pragma_database_list`).Scan(&file); err != nil {
		panic(err)
	}
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		panic(err)
	}
	s.db.Close()
	s.db = db
	return s
}

// firstTest is what the document begins with.
func firstTest(t *testing.T) {
	storetest.Suite{
		New: func(tb testing.TB) tokensession.Store {
			store, err := Open(tb.Context(), "sqlite:"+filepath.Join(tb.TempDir(), "sessions.db"), nil)
			if err != nil {
				tb.Fatal(err)
			}
			return store
		},
		Capabilities: storetest.AllCapabilities,
	}.Run(t)
}

// stepVar names the store that TestStep is to run on, in a process that TestDocument
// starts: a test that fails there must not fail here.
const stepVar = "TOKENSESSION_SQLITE_STEP"

func TestStep(t *testing.T) {
	name := os.Getenv(stepVar)
	switch name {
	case "":
	case "first":
		firstTest(t)
	default:
		stepSuite(steps[name]).Run(t)
	}
}

// stepSuite is the suite of TestStore, on stores that wrap spoils.
func stepSuite(wrap func(*Store) tokensession.Store) storetest.Suite {
	reopen := func(tb testing.TB) func() tokensession.Store {
		path := tempFile(tb)
		return func() tokensession.Store { return wrap(openTest(tb, path, "")) }
	}
	return storetest.Suite{
		New:          func(tb testing.TB) tokensession.Store { return reopen(tb)() },
		Capabilities: storetest.AllCapabilities,
		Reopen:       reopen,
		Shared:       true,
		Namespaces: func(tb testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
			path := tempFile(tb)
			return wrap(openTest(tb, path, a)), wrap(openTest(tb, path, b))
		},
		InProcess: true,
		Budget:    time.Second,
	}
}

// TestWaits wants the two stores to fail for which the suite would need luck.
func TestWaits(t *testing.T) {
	if touched, after := touchThatWaits(t, func(s *Store) tokensession.Store { return early{s} }); touched != nil || after != nil {
		t.Errorf("a time from before the lock is good enough: Touch of an expired record: %v; Get after it: %v", touched, after)
	}
	if beside, after := getBesideTouch(t, func(s *Store) tokensession.Store { return snapshot{s} }); beside == nil || after != nil {
		t.Errorf("a snapshot is good enough: Get beside a Touch: %v; after it: %v", beside, after)
	}
}

const document = "../../docs/writing-a-driver.md"

// block is a fenced block of the document.
type block struct {
	step  string // of the comment above it, if there is one
	lang  string
	lines []string // without indentation
}

var fence = regexp.MustCompile("(?ms)(?:^<!-- (\\w+) -->\n)?^```(\\w+)\n(.*?)^```$")

func blocks(t *testing.T) (list []block) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		list = append(list, block{m[1], m[2], unindented(m[3])})
	}
	return list
}

func unindented(text string) (lines []string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// TestQuotes wants the code in the document to be code of this package, which is compiled.
func TestQuotes(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, "\n"+strings.Join(unindented(string(source)), "\n")+"\n")
	}
	quoted := 0
	for _, b := range blocks(t) {
		if b.lang != "go" {
			continue
		}
		quoted++
		text := "\n" + strings.Join(b.lines, "\n") + "\n"
		if !slices.ContainsFunc(sources, func(s string) bool { return strings.Contains(s, text) }) {
			t.Errorf("%s quotes what is in none of %v:%s", document, paths, text)
		}
	}
	if quoted == 0 {
		t.Errorf("%s quotes nothing", document)
	}
}

// TestFailures runs the checks whose output the document shows, on the stores that it
// shows, and wants that output. An ellipsis there stands for anything.
func TestFailures(t *testing.T) {
	shown := make(map[string]bool)
	for _, b := range blocks(t) {
		if b.step == "" {
			continue
		}
		shown[b.step] = true
		_, check, _ := strings.Cut(b.lines[0], "TestStore/")
		check, _, _ = strings.Cut(check, " ")
		t.Run(b.step+"/"+check, func(t *testing.T) {
			t.Parallel()
			var output string
			for range 3 { // two calls that must meet may not, on a machine with other work
				output = runStep(t, b.step, check)
				if b.pattern().MatchString(output) {
					return
				}
			}
			t.Errorf("%s shows\n%s\nbut the output is\n%s", document, strings.Join(b.lines, "\n"), output)
		})
	}
	for name := range steps {
		if !shown[name] {
			t.Errorf("%s does not show how the step %q fails", document, name)
		}
	}
}

// runStep runs one check in a process of its own, and returns what that printed, as if the
// test's name were TestStore.
func runStep(t *testing.T, step, check string) string {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pattern := "^TestStep$"
	for name := range strings.SplitSeq(check, "/") {
		pattern += "/^" + regexp.QuoteMeta(name) + "$"
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run", pattern)
	if step == "first" { // of which the document shows what it skips
		cmd.Args = append(cmd.Args, "-test.v")
	}
	cmd.Env = append(os.Environ(), stepVar+"="+step)
	output, _ := cmd.CombinedOutput() // that it fails is what is wanted
	return strings.ReplaceAll(string(output), "TestStep/", "TestStore/")
}

// pattern matches the output that b shows.
func (b block) pattern() *regexp.Regexp {
	var lines []string
	for _, line := range b.lines {
		if line == "…" {
			lines = append(lines, `(?:.*\n)*?.*`)
			continue
		}
		lines = append(lines, `\s*`+strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*"))
	}
	return regexp.MustCompile(strings.Join(lines, `\n`))
}
