/*
 * The PC that a guest sees, as the vendors' run loops and main call it. The services here work on
 * struct vcpu only; none calls the vendor. What the guest did wrong is answered with BAD (the
 * caller injects #GP or stops the guest) or with an exception already queued.
 */
#ifndef GUEST_PLATFORM_H
#define GUEST_PLATFORM_H

#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/lapic.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/pvh.h"
#include "arch/x86/guest/xsave.h"
#include "kernel/vm/vm.h"

/*
 * IOAPIC, UART and the LAPICs of all vCPUs, the disks of the manifest, balloon, console and source
 * of randomness (kernel/virtio/). Called once after vm_create(), with the VM's name, memory and
 * vCPUs in place. 0, or a negative errno after a message that names guest, disk, value and what
 * would be valid; nothing is left behind then.
 */
int __must_check platform_create(struct vm *vm);
/*
 * The VM is stopped. Timers that expire from now on find it so and do nothing; those still waiting
 * are cancelled. Before platform_destroy() every CPU must have been at the head of its dispatch
 * loop, since one may just have taken a timer off its queue.
 */
void platform_cancel_timers(struct vm *vm);
/*
 * After all vCPUs are stopped, in place of platform_destroy(): drops pins and puts every device
 * into the state in which platform_create() made it, for the VM's next life. What disks hold stays,
 * and so do their statistics. While the VM's memory is there.
 */
void platform_power_cycle(struct vm *vm);
/* After all vCPUs are stopped: cancels timers, drops pins, frees. Statistics of disks stay readable
 * until then. */
void platform_destroy(struct vm *vm);

/*
 * One access to an I/O port. @size is 1, 2 or 4 bytes. A read fills *@value, zero-extended; the
 * caller merges AL or AX. Unclaimed ports read all ones and swallow writes. May stop the VM (sleep
 * and reset ports): the caller skips the instruction all the same and sees VCPU_REQ_YIELD.
 */
void port_io(struct vcpu *vcpu, u16 port, unsigned size, bool is_write, u32 *value);

/*
 * Emulates the MOV at vcpu->context that touched @address, which is not RAM. The caller fills
 * vcpu->context and keeps all of vcpu->regs current, RSP too. DONE: registers are written, and
 * context.rip and context.rflags hold what the vendor must load.
 * RESTART: nothing was done, an exception is queued or the fetch must be tried again; enter again
 * with RIP unchanged. BAD: no device lives there, or the instruction is no MOV: the guest is to be
 * stopped (a message was logged).
 */
enum outcome mmio_emulate(struct vcpu *vcpu, gpa_t address);

/*
 * HLT. The caller has skipped the instruction. Returns at once if an interrupt can be taken, else
 * blocks the vCPU. With @interrupts_enabled false only INIT or NMI can wake it: when that holds for
 * all vCPUs of the VM, the VM is stopped (STOP_ALL_HALTED).
 */
void vcpu_halt(struct vcpu *vcpu, bool interrupts_enabled);

/*
 * For VCPU_REQ_START: takes vcpu->start and answers what the vendor has to load, with vcpu->regs
 * already set (zero but EBX for PVH, EDX for SIPI) and vcpu->event cleared:
 *   START_PVH   32-bit protected mode, flat segments, paging off, EIP = entry
 *   START_SIPI  real mode, CS = vector << 8, IP = 0, all else as after INIT
 *   START_NONE  nothing
 */
struct vcpu_start vcpu_take_start(struct vcpu *vcpu);

/* The LAPIC of @vcpu, as a part of the vendor's dump when a guest is stopped. */
void platform_dump(const struct vcpu *vcpu);

#endif
