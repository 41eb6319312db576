package trust

import (
	"errors"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

const second = core.Instant(time.Second)

func TestProbesAreMadeOneAtATimeAndPaced(t *testing.T) {
	p := Prober{Every: time.Second}
	n, due := p.Due(10 * second)
	if !due {
		t.Fatal("the first is due at once")
	}
	if _, again := p.Due(60 * second); again {
		t.Error("a second one beside the first")
	}
	p.Answered(n, 60*second, nil, "")
	if f := p.Look(60 * second); f.OKAt != 10*second || f.Took != 50*time.Second || f.Since != 0 || f.Pending {
		t.Errorf("%+v", f)
	}
	if n, due = p.Due(61 * second); !due {
		t.Error("a second later the next is due")
	}
	p.Answered(n, 61*second, nil, "")
	if _, due := p.Due(61*second + second/2); due {
		t.Error("two within a second")
	}
}

// What is not well lasts from the first write that failed or hangs, whatever becomes of the next.
func TestFailureLastsFromTheFirstThatFailed(t *testing.T) {
	p := Prober{Every: time.Second}
	n, _ := p.Due(10 * second)
	p.Answered(n, 10*second, errors.New("no file"), "58P01")
	n, _ = p.Due(12 * second)
	if f := p.Look(12 * second); f.Since != 10*second || !f.Pending || f.Code != "58P01" {
		t.Errorf("%+v", f)
	}
	p.Answered(n, 12*second, nil, "")
	if f := p.Look(12 * second); f.Since != 0 || f.Err != "" || f.Code != "" {
		t.Errorf("it succeeded: %+v", f)
	}
}

func TestTimeInWhichNobodyLookedDoesNotCount(t *testing.T) {
	p := Prober{Every: time.Second}
	p.Due(10 * second)
	p.Look(11 * second)
	p.Look(12 * second)
	if f := p.Look(60 * second); f.Since != 58*second {
		t.Errorf("pending for %s after a pause of 48 s", (60*second - f.Since).Sub(0))
	}
	if f := p.Look(61 * second); f.Since != 58*second {
		t.Errorf("and then it counts on: %+v", f)
	}
}

func TestAnswerOfAnotherServerIsNotHeard(t *testing.T) {
	p := Prober{Every: time.Second}
	old, _ := p.Due(10 * second)
	p.Forget()
	now, due := p.Due(10 * second)
	if !due {
		t.Fatal("a new server is asked at once")
	}
	p.Answered(old, 11*second, nil, "")
	if f := p.Look(11 * second); f.OKAt != 0 || !f.Pending {
		t.Errorf("the old answer counts: %+v", f)
	}
	p.Answered(now, 11*second, nil, "")
	if f := p.Look(11 * second); f.OKAt != 10*second {
		t.Errorf("%+v", f)
	}
}
