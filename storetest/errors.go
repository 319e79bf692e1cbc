package storetest

import (
	"context"
	"strings"
	"time"

	"github.com/tokensession/tokensession/storetest/faultnet"
)

// provoke makes all calls that fail without an outage, and hands each error to look.
func (p *probe) provoke(look func(m method, id string, err error)) {
	canceled, cancel := context.WithCancel(p.Context())
	cancel()
	there, absent := "secretOf"+newID(), "secretOf"+newID()
	p.mustCreate(there, record("data", "owner", time.Hour))
	for _, id := range []string{there, absent, there + " ", there + strings.Repeat("x", 128)} {
		for _, m := range p.methods(id, record("data", "owner", time.Hour)) {
			for _, ctx := range []context.Context{p.Context(), canceled} {
				if err := m.call(ctx); err != nil {
					look(m, id, err)
				}
			}
		}
	}
}

func errorsDiscreet(p *probe) {
	p.provoke(func(m method, id string, err error) {
		if strings.Contains(err.Error(), id[:9]) {
			p.fatalf("%s reports: %v", m.name, err)
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
	for _, secret := range p.suite.Secrets {
		if strings.Contains(err.Error(), secret) {
			p.fatalf("%s reports: %v", m.name, err)
		}
	}
}
