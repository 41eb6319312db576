//go:build lab

package rig

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Volume is one directory of a host; with a size it is an ext4 file system of its own on
// a loop device.
type Volume struct {
	Name   string
	Dir    string // the mount point; work in a directory below it
	SizeMB int

	image    string
	throttle []string // blkio files that hold a limit of ours
	frozen   bool
	host     *Host
}

const (
	ext4IocShutdown = 0x8004587d
	noLogFlush      = 2 // nothing that is only in memory reaches the disk, as when power fails
	fiFreeze        = 0xc0045877
	fiThaw          = 0xc0045878
)

func (h *Host) makeVolume(v *Volume) error {
	v.host, v.Dir, v.image = h, join(h.Dir, v.Name), join(h.Dir, v.Name+".img")
	h.Volumes[v.Name] = v
	if err := os.Mkdir(v.Dir, 0o755); err != nil {
		return err
	}
	if v.SizeMB > 0 {
		if err := v.format(); err != nil {
			return err
		}
	}
	return os.Chown(v.Dir, h.rig.spec.UID, h.rig.spec.GID)
}

func (v *Volume) format() error {
	f, err := os.Create(v.image)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(v.SizeMB) << 20); err != nil {
		return err
	}
	if err := tool("mkfs.ext4", "-q", "-m", "0", "-E", "nodiscard", v.image); err != nil {
		return err
	}
	return v.mount()
}

func (v *Volume) mount() error { return tool("mount", "-o", "loop", v.image, v.Dir) }

var errNoDisk = errors.New("this volume is a plain directory: give it a size in rig.Disks")

func (v *Volume) ioctl(request uintptr, arg uint32) error {
	if v.SizeMB == 0 {
		return fmt.Errorf("%s of %s: %w", v.Name, v.host.Name, errNoDisk)
	}
	if err := ioctl(v.Dir, request, arg); err != nil {
		return fmt.Errorf("%s of %s: %w", v.Name, v.host.Name, err)
	}
	return nil
}

func ioctl(dir string, request uintptr, arg uint32) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return fmt.Errorf("ioctl %#x: %w", request, errno)
	}
	return nil
}

// Freeze lets every write to the file system hang until Thaw.
func (v *Volume) Freeze() error {
	if err := v.ioctl(fiFreeze, 0); err != nil {
		return err
	}
	v.frozen = true
	return nil
}

// Thaw ends a Freeze; without one it does nothing.
func (v *Volume) Thaw() error {
	if !v.frozen {
		return nil
	}
	v.frozen = false
	return v.ioctl(fiThaw, 0)
}

// Die is the death of the device: every access fails from now on, and what was written
// but not yet flushed is lost.
func (v *Volume) Die() error { return v.ioctl(ext4IocShutdown, noLogFlush) }

// Remount mounts a volume that died again, with what its disk holds. Nothing may have it open.
func (v *Volume) Remount() error {
	if v.SizeMB == 0 {
		return errNoDisk
	}
	var err error
	if !until(10*time.Second, func() bool { err = tool("umount", v.Dir); return err == nil }) {
		return err
	}
	return v.mount()
}

// device gives "MAJOR:MINOR".
func (v *Volume) device() (string, error) {
	var st unix.Stat_t
	if v.SizeMB == 0 {
		return "", errNoDisk
	}
	if err := unix.Stat(v.Dir, &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)), nil
}

// Throttle lets the host's processes do only so many writes a second here.
func (v *Volume) Throttle(writesPerSecond int) error {
	group, ok := v.host.groups.v1["blkio"]
	if !ok {
		return errors.New("this machine has no cgroup v1 controller blkio")
	}
	dev, err := v.device()
	if err != nil {
		return err
	}
	file := join(group, "blkio.throttle.write_iops_device")
	if err := write(file, fmt.Sprintf("%s %d", dev, writesPerSecond)); err != nil {
		return err
	}
	v.throttle = append(v.throttle, file+"="+dev)
	return nil
}

// Unthrottle takes the limits away.
func (v *Volume) Unthrottle() error {
	var errs []error
	for _, t := range v.throttle {
		file, dev, _ := strings.Cut(t, "=")
		errs = append(errs, write(file, dev+" 0"))
	}
	v.throttle = nil
	return errors.Join(errs...)
}

// takeDown unmounts even what is still in use: the loop device goes with its last user.
func (v *Volume) takeDown() {
	if v.SizeMB == 0 {
		return
	}
	_ = v.Thaw()
	_ = v.Unthrottle()
	if !until(time.Second, func() bool { return syscall.Unmount(v.Dir, 0) == nil }) {
		_ = syscall.Unmount(v.Dir, unix.MNT_DETACH)
	}
}
