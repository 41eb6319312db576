// Package privilege keeps two capabilities of the kernel, CAP_NET_ADMIN and CAP_NET_RAW, in the
// agent and the warden, and out of everything else: they are what a virtual address needs, and
// neither PostgreSQL nor any program that pgherd runs has a use for them.
//
// They come into the process as ambient ones: by AmbientCapabilities of the systemd unit, or by
// BecomeKeeping when root starts pgherd. Confine then ends the inheritance; who is
// to have them all the same is given them by name (Grant).
//
// It must not gain anything: it keeps, limits and passes on what the process was started with.
package privilege
