package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

// grace is how long the former token of a session that was given a new one still works.
const grace = time.Minute

// maxDevices is how many sessions a page lists.
const maxDevices = 50

// maxAgent is how many bytes of a User-Agent a session keeps.
const maxAgent = 120

// devices are the sessions of a user, for the page.
type devices struct {
	List    []device
	More    bool // than maxDevices
	NoIndex bool // the store cannot list them
}

type device struct {
	session.Info[visit]
	Here    bool // it is the session that asks
	Damaged bool // it cannot be read, but ended
}

// devices lists the sessions of s's owner, those signed in first at the top.
func (d *site) devices(ctx context.Context, s *session.Session[visit]) (devices, error) {
	var all devices
	for info, err := range d.pages.Sessions(ctx, s.Owner()) {
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return devices{NoIndex: true}, nil
		case err != nil && info.ID == "":
			return devices{}, err
		case len(all.List) == maxDevices:
			all.More = true
		}
		if all.More {
			break
		}
		all.List = append(all.List, device{Info: info, Here: info.ID == s.ID(), Damaged: err != nil})
	}
	slices.SortFunc(all.List, func(a, b device) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}

// forUser does something to the session of a user who is signed in, and shows the page again.
func (d *site) forUser(do func(r *http.Request, s *session.Session[visit]) error) http.Handler {
	return forBrowser(func(w http.ResponseWriter, r *http.Request) error {
		s := d.pages.Get(r.Context())
		if s.Owner() == "" {
			return session.ErrGone
		}
		if err := do(r, s); err != nil {
			return err
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	})
}

// endDevice ends the session that the form names, if it is the user's.
func (d *site) endDevice(r *http.Request, s *session.Session[visit]) error {
	err := d.pages.End(r.Context(), s.Owner(), r.PostFormValue("id"))
	if errors.Is(err, tokensession.ErrNotFound) {
		return nil // it has ended by itself
	}
	return err
}

// endOthers signs the user out everywhere but here.
func (d *site) endOthers(r *http.Request, s *session.Session[visit]) error {
	return d.pages.EndOwner(r.Context(), s.Owner(), s.ID())
}

// renew gives the session another token.
func (d *site) renew(r *http.Request, s *session.Session[visit]) error {
	return s.Renew(r.Context(), grace)
}

// agentOf is what a client calls itself, shortened.
func agentOf(r *http.Request) string {
	agent := r.UserAgent()
	return strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], "")
}
