package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

// visit is what a session of the demo holds.
type visit struct {
	Views int    `json:"views"`
	Agent string `json:"agent"` // what the client called itself when it signed in
}

// site is the demo: pages for browsers, which keep the token in a cookie, and the
// same as JSON for programs, which send it in a header.
type site struct {
	store tokensession.Store

	// Two managers of one Name share their sessions: they differ in how the token
	// travels, and thereby in how a client that has none yet is given one.
	pages, api *session.Manager[visit]

	url   string // with a slash at the end
	place string // where the sessions are, for the page
}

func newSite(store tokensession.Store, url, place string) *site {
	manager := func(t session.Transport, onError func(http.ResponseWriter, *http.Request, error)) *session.Manager[visit] {
		return session.New(store, &session.Options[visit]{Name: "demo", Transport: t, OnError: onError})
	}
	return &site{
		store: store,
		// Insecure, because the demo has no TLS.
		pages: manager(session.Cookie(session.CookieOptions{Name: "tokensession-demo", Insecure: true}), tellBrowser),
		api:   manager(session.Header("X-Auth-Token"), tellProgram),
		url:   url,
		place: place,
	}
}

func (d *site) handler() http.Handler {
	pages := http.NewServeMux()
	pages.Handle("GET /{$}", forBrowser(d.home))
	pages.Handle("POST /sign-in", forBrowser(d.signIn))
	pages.Handle("POST /sign-out", forBrowser(d.signOut))
	pages.Handle("POST /renew", d.forUser(d.renew))
	pages.Handle("POST /sessions/end", d.forUser(d.endDevice))
	pages.Handle("POST /sessions/end-others", d.forUser(d.endOthers))

	api := http.NewServeMux()
	api.Handle("POST /api/session", forProgram(d.apiSignIn))
	api.Handle("GET /api/session", forProgram(d.apiView))
	api.Handle("DELETE /api/session", forProgram(d.apiSignOut))

	both := http.NewServeMux()
	both.Handle("/", d.pages.Handler(pages))
	both.Handle("/api/", d.api.Handler(api))
	// The cookie is protected as it is. This also covers signing in, which has none
	// yet: no other site may sign its visitors in here.
	return http.NewCrossOriginProtection().Handler(both)
}

func (d *site) home(w http.ResponseWriter, r *http.Request) error {
	s := d.pages.Get(r.Context())
	if s.Owner() == "" {
		return d.render(w, http.StatusOK, page{})
	}
	a, err := d.view(r.Context(), s)
	if err != nil {
		return err
	}
	list, err := d.devices(r.Context(), s)
	if err != nil {
		return err
	}
	return d.render(w, http.StatusOK, page{answer: a, Devices: list})
}

func (d *site) signIn(w http.ResponseWriter, r *http.Request) error {
	name, wrong := nameIn(r)
	if wrong != "" {
		return d.render(w, http.StatusBadRequest, page{Problem: wrong})
	}
	if err := begin(r, d.pages.Get(r.Context()), name); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (d *site) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := d.pages.Get(r.Context()).Destroy(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (d *site) apiSignIn(w http.ResponseWriter, r *http.Request) error {
	name, wrong := nameIn(r)
	if wrong != "" {
		return writeJSON(w, http.StatusBadRequest, problem{wrong})
	}
	s := d.api.Get(r.Context())
	if err := begin(r, s, name); err != nil {
		return err
	}
	a, err := d.answer(r.Context(), s)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, a)
}

func (d *site) apiView(w http.ResponseWriter, r *http.Request) error {
	s := d.api.Get(r.Context())
	if s.Owner() == "" {
		return session.ErrGone
	}
	a, err := d.view(r.Context(), s)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a)
}

func (d *site) apiSignOut(w http.ResponseWriter, r *http.Request) error {
	if err := d.api.Get(r.Context()).Destroy(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// begin signs a user in, in a new session: whoever knew the token of the old one
// knows nothing of this.
func begin(r *http.Request, s *session.Session[visit], name string) error {
	if err := s.Reset(r.Context()); err != nil {
		return err
	}
	s.SetOwner(name)
	s.Data.Agent = agentOf(r)
	return s.Save(r.Context())
}

// view counts a view. Update repeats the function where another request was faster,
// so that none is lost.
func (d *site) view(ctx context.Context, s *session.Session[visit]) (answer, error) {
	err := s.Update(ctx, func(v *visit) error { v.Views++; return nil })
	if err != nil {
		return answer{}, err
	}
	return d.answer(ctx, s)
}

// answer is what a client is told about its session.
type answer struct {
	Name   string `json:"name"`
	Views  int    `json:"views"`
	Stored stored `json:"stored"`
}

// stored is what the store holds for a session.
type stored struct {
	ID      string    `json:"id"`
	Owner   string    `json:"owner"`
	Expires time.Time `json:"expires"`
	Version string    `json:"version"`
	Bytes   int       `json:"bytes"`
	Data    string    `json:"data"`
}

func (d *site) answer(ctx context.Context, s *session.Session[visit]) (answer, error) {
	rec, err := d.store.Get(ctx, s.ID())
	if errors.Is(err, tokensession.ErrNotFound) {
		return answer{}, session.ErrGone // signed out by another request, just now
	}
	if err != nil {
		return answer{}, err
	}
	return answer{
		Name:  s.Owner(),
		Views: s.Data.Views,
		Stored: stored{
			ID:      s.ID(),
			Owner:   rec.Owner,
			Expires: time.Now().Add(rec.TTL).Round(time.Second),
			Version: fmt.Sprintf("%x", rec.Version),
			Bytes:   len(rec.Data),
			Data:    secret.ReplaceAllString(string(rec.Data), "$1…"),
		},
	}, nil
}

// secret finds the hash of the token's secret, and what leads from a former one to it. They
// open nothing by themselves, but a page is not the place for them either.
var secret = regexp.MustCompile(`((?:secret|former)=.{6})\S+`)

const maxName = 64

// nameIn is the name in a request to sign in, or what the user is told is wrong
// with it.
func nameIn(r *http.Request) (name, problem string) {
	name = strings.TrimSpace(r.PostFormValue("name"))
	switch {
	case name == "":
		return "", "Please give a name."
	case utf8.RuneCountInString(name) > maxName:
		return "", fmt.Sprintf("Please give a name of at most %d characters.", maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", "Please give a name of letters."
	}
	return name, ""
}

// forBrowser shows the form to a user whose session is gone.
func forBrowser(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if errors.Is(err, session.ErrGone) {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		if err != nil {
			slog.Error("demo", "path", r.URL.Path, "err", err)
			tellBrowser(w, r, err)
		}
	})
}

// tellBrowser answers a request for which the store did not answer.
func tellBrowser(w http.ResponseWriter, _ *http.Request, _ error) {
	http.Error(w, "The store did not answer.", http.StatusServiceUnavailable)
}

// forProgram answers errors with JSON.
func forProgram(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if errors.Is(err, session.ErrGone) {
			err = writeJSON(w, http.StatusUnauthorized, problem{"not signed in"})
		}
		if err != nil {
			slog.Error("demo", "path", r.URL.Path, "err", err)
			tellProgram(w, r, err)
		}
	})
}

// tellProgram is tellBrowser in JSON.
func tellProgram(w http.ResponseWriter, _ *http.Request, _ error) {
	_ = writeJSON(w, http.StatusServiceUnavailable, problem{"the store did not answer"})
}

// problem is a JSON answer that says what is wrong.
type problem struct {
	Error string `json:"error"`
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // fails only where nobody reads it
	return nil
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what page.html shows: the form if Name is empty.
type page struct {
	answer
	Devices    devices
	Problem    string // what was wrong with the form, if anything
	MaxName    int
	URL, Place string
}

func (d *site) render(w http.ResponseWriter, status int, p page) error {
	p.MaxName, p.URL, p.Place = maxName, d.url, d.place
	var text bytes.Buffer
	if err := pageTemplate.Execute(&text, p); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // fails only where nobody reads it
	return nil
}
