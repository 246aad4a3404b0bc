/*
 * Equal pages of one client, for dense.c. The first one is stored like any other, and noted
 * (dense_note()); when a second one comes, the frame becomes the content of both. Guarded by the
 * client's lock.
 */
#ifndef TMEM_DENSE_EQUAL_H
#define TMEM_DENSE_EQUAL_H

#include "tmem/dense.h"

/* Tables without entries; dense->client is set, and so are the slabs. */
void equal_init(struct dense *dense);

/* What noting a page will touch whatever its hash, fetched while that is not known yet: a bucket
 * that is split next, and with the insertion that does it the records of what is in it. */
void equal_prefetch(const struct tmem_client *client, enum tmem_class class);

/* A content for the page in look->copy with look->hash, if a stored one of the class is equal: then
 * look->content must be given to a page or released. False: there is none, or no memory for it, and
 * look->hash is 0 if the page must not be noted. */
bool equal_place(struct tmem_client *client, enum tmem_class class, struct dense_look *look);
/* The same for the guest's page look->data, before it is copied and hashed: it is compared with
 * what comes next if pages are equal to stored ones in a row. What was read of it is what is stored
 * then, each word being read once. */
bool equal_expect(struct tmem_client *client, enum tmem_class class, struct dense_look *look);
/* A page has the content @id no more. */
void equal_release(struct tmem_client *client, u32 id);
/* The content in the frame @slot moves to @to, which is in the caller's hands; @slot is then. */
void equal_move(struct tmem_client *client, u32 slot, u32 to);

#endif
