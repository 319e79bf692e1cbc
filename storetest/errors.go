package storetest

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/storetest/faultnet"
)

// provoke makes the calls that fail without an outage, with each of several ids and records, and
// in the end after Close. It hands each error to look.
func (p *probe) provoke(look func(m method, id string, err error)) {
	canceled, cancel := context.WithCancel(p.Context())
	cancel()
	good := record("data", "owner", time.Hour)
	there, absent := "secretOf"+newID(), "secretOf"+newID()
	try := func(p *probe) {
		for _, id := range []string{there, absent, there + " ", there + strings.Repeat("x", 128)} {
			for _, rec := range []tokensession.Record{good, at("stale", good), record("data", "owner", 0), record("data", "a\x00b", time.Hour)} {
				p.create(there, good)
				for _, m := range p.methods(id, rec) {
					for _, ctx := range []context.Context{canceled, p.Context()} {
						if err := m.call(ctx); err != nil {
							look(m, id, err)
						}
					}
				}
			}
		}
	}
	try(p)
	if large := p.suite.TooLarge; large > 0 {
		for _, m := range p.methods(there, record(strings.Repeat("x", large), "owner", time.Hour))[1:3] {
			if err := m.call(p.Context()); err != nil {
				look(m, there, err)
			}
		}
	}
	if has[io.Closer](p.store) {
		q := p.on(p.suite.New(p.recorder)) // closed here, and once
		closer := capability[io.Closer](q)
		q.returns("Close", func() { closer.Close() })
		try(q)
	}
}

// errorsDiscreet looks for any piece of an id that is longer than what an error may hold.
func errorsDiscreet(p *probe) {
	const shown = 8
	p.provoke(func(m method, id string, err error) {
		unique := id[:len("secretOf")+len(newID())] // the rest could be anybody's
		for i := range len(unique) - shown {
			if strings.Contains(err.Error(), unique[i:i+shown+1]) {
				p.fatalf("%s reports: %v", m.name, err)
			}
		}
	})
}

func errorsSecrets(p *probe) {
	p.wantSecrets()
	p.provoke(func(m method, _ string, err error) { p.keepsSecrets(m, err) })
}

// errorsSecretsInOutages provokes the errors of a server that cannot be reached, and of one that
// stalls.
func errorsSecretsInOutages(p *probe) {
	n := p.network()
	n.wantSecrets()
	defer n.proxy.Heal()
	n.recovers("nothing", n.read)
	for _, fail := range []func(){func() { n.proxy.Stall(faultnet.Both) }, func() { n.proxy.Cut(faultnet.Hangup) }} {
		fail()
		for _, m := range n.methods(newID(), record("data", "owner", time.Hour)) {
			ctx, cancel := context.WithTimeout(n.Context(), 2*deadline)
			if err := n.call(ctx, m.name, m.call); err != nil {
				n.keepsSecrets(m, err)
			}
			cancel()
		}
	}
}

// wantSecrets skips the check where no secrets are known.
func (p *probe) wantSecrets() {
	if len(p.suite.Secrets) == 0 {
		p.Skip("Suite.Secrets is empty: the suite knows no password that an error could show")
	}
}

func (p *probe) keepsSecrets(m method, err error) {
	if text := err.Error(); without(p.secrets, text) != text {
		p.fatalf("%s reports: %v", m.name, err)
	}
}
