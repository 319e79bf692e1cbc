package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
)

// signedIn is a browser that calls itself agent and is signed in.
func signedIn(t *testing.T, demoURL, name, agent string) *browser {
	b := newBrowser(t, demoURL)
	b.Transport = named{agent}
	b.want(b.post("sign-in", url.Values{"name": {name}}), "Signed in as "+name)
	return b
}

// named sends a User-Agent.
type named struct{ agent string }

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", n.agent)
	return http.DefaultTransport.RoundTrip(r)
}

// id is the session of a page, by what it shows of the store.
func (b *browser) id() string {
	b.t.Helper()
	match := regexp.MustCompile(`<dt>Id</dt><dd><code>([\w-]+)</code>`).FindStringSubmatch(b.get())
	if match == nil {
		b.t.Fatal("the page shows no session")
	}
	return match[1]
}

func TestDevices(t *testing.T) {
	d := startDemo(t, t.TempDir(), "--store", "memory:")
	defer d.stop(t, os.Interrupt)
	laptop, phone := signedIn(t, d.url, "ada", "Laptop <1>"), signedIn(t, d.url, "ada", "Phone")
	bob := signedIn(t, d.url, "bob", "Tablet")

	page := laptop.get()
	laptop.want(page, "Laptop <1> – here", "Phone", "Sign out everywhere else")
	if strings.Contains(page, "Tablet") || strings.Contains(page, bob.id()) {
		t.Error("ada's page shows a session of bob's")
	}
	bob.want(bob.get(), "Tablet – here")

	laptop.post("sessions/end", url.Values{"id": {bob.id()}})
	bob.want(bob.get(), "Signed in as bob")
	laptop.post("sessions/end", url.Values{"id": {"no id"}})
	if page := laptop.post("sessions/end", url.Values{"id": {phone.id()}}); strings.Contains(page, "Phone") {
		t.Error("a session that was ended is still listed")
	}
	phone.want(phone.get(), "Sign in")

	phone = signedIn(t, d.url, "ada", "Phone")
	laptop.post("sessions/end-others", nil)
	phone.want(phone.get(), "Sign in")
	bob.want(bob.get(), "Signed in as bob")
	laptop.want(laptop.get(), "Signed in as ada")
	for _, path := range []string{"renew", "sessions/end", "sessions/end-others"} {
		phone.want(phone.post(path, nil), "Sign in") // nobody is signed in here
	}
}

func TestNewToken(t *testing.T) {
	d := startDemo(t, t.TempDir(), "--store", "memory:")
	defer d.stop(t, os.Interrupt)
	b := signedIn(t, d.url, "ada", "Laptop")
	u, _ := url.Parse(d.url)
	id, former := b.id(), b.Jar.Cookies(u)
	page := b.post("renew", nil)
	b.want(page, "Signed in as ada", "former=")
	if shown := regexp.MustCompile(`former=[\w:-]{7,}`).FindString(page); shown != "" {
		t.Errorf("the page shows how to make the new token of the former: %d bytes", len(shown))
	}
	next := b.Jar.Cookies(u)[0].Value
	if next == former[0].Value || b.id() != id {
		t.Error("the token is the same, or the session another")
	}
	b.Jar.SetCookies(u, former) // a request that was under way
	b.want(b.get(), "Signed in as ada")
	if b.Jar.Cookies(u)[0].Value != next {
		t.Error("the former token was not exchanged for the new one")
	}
}

// A store without an index of owners, such as memcache, shows the page without the list.
func TestDevicesWithoutAnIndex(t *testing.T) {
	store := memory.New(nil)
	defer store.Close()
	demo := newSite(struct{ tokensession.Store }{store}, "http://127.0.0.1/", "memory")
	server := httptest.NewServer(demo.handler())
	defer server.Close()
	b := signedIn(t, server.URL+"/", "ada", "Laptop")
	b.want(b.get(), "Signed in as ada", "no index of owners")
}
