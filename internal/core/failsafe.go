package core

// storeSilent: the store does not answer, or answers reads and takes no writes of ours.
func (d *decider) storeSilent() bool {
	return d.v.Store.Err != "" || d.v.Failed.Kind == StepPutLease
}

// halfSpent says that half the trust that a word of this time gave is used up.
func (d *decider) halfSpent(at Instant) bool {
	return d.v.Now.Sub(at) > (d.timing().TTL.D()-d.timing().Margin.D())/2
}

// writes: a primary, or a server that was one under this deadline and is only slow to answer.
func (d *decider) writes() bool {
	w := d.v.Local.Warden
	return d.inst.Primary || d.inst.State == StateUnknown && w.Alive && !w.Empty && w.Term == d.lease.Term && w.Deadline > d.v.Now
}

// failsafe: the store does not answer, and a healthy primary with it would be lost. It may go on
// while every other member, asked directly, vouches that it knows of no newer term; each
// then judges the lease as if it had just been renewed, so nobody can take it before our
// trust, counted from before the question, is over. One silence or refusal and the
// deadline stands as it is: who is silent may be electing somebody.
//
// Trust is only made longer here, never won: an agent that has not renewed this term itself does not
// know what its predecessor may have sent to the store.
func (d *decider) failsafe() {
	s := &d.v.Store
	// Not earlier than at half the trust: the questions go before the renewal, and where one member is
	// silent they would hold up each.
	if !d.storeSilent() || !d.halfSpent(s.RenewedAt) || !d.writes() || !d.trusted() {
		return
	}
	if s.VouchedTerm == d.lease.Term && s.VouchedAt > s.RenewedAt && s.VouchErr == "" {
		d.condition(CondFailsafe, "the store does not answer; %s goes on by the word of all %d other members", d.v.Self, len(s.Members)-1)
	} else if s.VouchErr != "" {
		d.say("not_vouched", "the store does not answer, and not every other member vouches for this primary: %s", s.VouchErr)
	}
	if due := s.VouchAsked.Add(d.spec.Lease.Renew.D() - renewSlack); d.v.Now < due {
		d.wakeAt(due)
		return
	}
	v := Vouch{Cluster: s.Cluster.ID, Holder: d.v.Self, Term: d.lease.Term, TTL: d.timing().TTL, Margin: d.timing().Margin, Members: Joinings(s.Members)}
	d.guarded(Step{Kind: StepVouch, Vouch: &v, Why: because("failsafe", "the store has taken no renewal for %s", d.v.Now.Sub(s.RenewedAt))})
}
