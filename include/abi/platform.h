/*
 * The fixed places of the PC that a guest sees. RAM starts at 0; the hole from PLATFORM_HOLE_START
 * to 4 GiB holds devices; RAM beyond the hole continues at 4 GiB.
 */
#ifndef ABI_PLATFORM_H
#define ABI_PLATFORM_H

#define PLATFORM_HOLE_START 0xc0000000u
#define PLATFORM_HOLE_END   0x100000000ull

/* virtio-mmio version 2 windows, one after the other; an empty slot reads device id 0. Their lines
 * are edge-triggered. Disks stand in the order of the manifest, from slot 0, the other devices in
 * slots of their own. */
#define PLATFORM_VIRTIO_BASE   0xd0000000u
#define PLATFORM_VIRTIO_STRIDE 0x1000u
#define PLATFORM_VIRTIO_SLOTS  16u
#define PLATFORM_VIRTIO_GSI    5u
#define PLATFORM_BALLOON_SLOT  8u
#define PLATFORM_CONSOLE_SLOT  9u
#define PLATFORM_RNG_SLOT      10u
/* Where the window of slot @n begins (PLATFORM_VIRTIO_STRIDE bytes), and the GSI it raises. */
#define PLATFORM_VIRTIO_WINDOW(n) (PLATFORM_VIRTIO_BASE + (n)*PLATFORM_VIRTIO_STRIDE)
#define PLATFORM_VIRTIO_LINE(n)   (PLATFORM_VIRTIO_GSI + (n))

#define PLATFORM_IOAPIC_BASE 0xfec00000u
#define PLATFORM_IOAPIC_PINS 24u
#define PLATFORM_LAPIC_BASE  0xfee00000u

#define PLATFORM_UART_PORT 0x3f8u
#define PLATFORM_UART_GSI  4u

/* An edge there: the guest's power button was pressed, it is asked to shut down. */
#define PLATFORM_POWER_GSI 21u

/* Sleep control register of the reduced ACPI hardware: a write of SLP_EN powers the guest off. */
#define PLATFORM_SLEEP_PORT 0x600u
#define PLATFORM_RESET_PORT 0x64u

#endif
