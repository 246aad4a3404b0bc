/*
 * What the machine-check banks hold when a processor starts.
 */
#ifndef ARCH_MCA_H
#define ARCH_MCA_H

/* Logs and clears what this processor's banks kept of errors before the start, so that a machine
 * check to come is the first one. Does nothing where there are no banks. */
void mca_clear(void);

#endif
