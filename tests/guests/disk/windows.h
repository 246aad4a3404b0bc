/*
 * The windows of the virtio devices, in the page tables that start.S has left.
 */
#ifndef TESTS_WINDOWS_H
#define TESTS_WINDOWS_H

/* Maps them where they are. */
void windows_map(void);

#endif
