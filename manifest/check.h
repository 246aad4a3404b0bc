/*
 * What no single key of a manifest can tell: missing keys, duplicates, a minimum above its maximum.
 * Each of these checks what the parser has read, and complains.
 */
#ifndef MANIFEST_CHECK_H
#define MANIFEST_CHECK_H

#include "manifest/parser.h"

/* The disk or shared pool in p->other, of a guest that is there, has ended. */
void check_disk(struct parser *p);
void check_shared_pool(struct parser *p);
/* The guest that p->guest is has ended; what follows from other keys is filled in. */
void check_guest(struct parser *p);
/* What all may have together must do for what each is entitled to. All guests have ended. */
void check_minima(struct parser *p);

#endif
