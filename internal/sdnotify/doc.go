// Package sdnotify tells systemd what became of a service (sd_notify(3)): a datagram on the socket that the environment
// names. Without systemd it is silent.
//
// It must not decide anything: who calls it says when the service is ready and when it has made progress. A keepalive from
// a goroutine of its own would prove nothing, so there is none here.
package sdnotify
