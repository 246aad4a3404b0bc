/*
 * Requests in flight: pins at submission, data and status at completion. A request that cannot be
 * done (bad range, write to a read-only disk) takes its time too and completes with an error
 * status.
 */
#include "kernel/virtio/blk_state.h"

#include <abi/errno.h>
#include <string.h>

static struct blk_piece *piece_at(struct virtio_blk *blk, u32 index)
{
	return &blk->pieces[index % BLK_PIECES];
}

static u64 pages_of(const struct virtq_buffer *buffer)
{
	if (buffer->bytes == 0)
		return 0;
	return ((buffer->address & PAGE_MASK) + buffer->bytes + PAGE_MASK) >> PAGE_SHIFT;
}

static void unpin(struct virtio_blk *blk, u32 from, u32 to)
{
	for (u32 i = from; i != to; i++)
		memory_unpin(blk->device.vm, piece_at(blk, i)->guest);
}

/* Pins @bytes at @address as pieces; there is room for them. */
static int pin_buffer(struct virtio_blk *blk, u64 address, u64 bytes)
{
	if (address > ~0UL - bytes)
		return -SLUICE_EFAULT;
	while (bytes > 0) {
		struct blk_piece *piece = piece_at(blk, blk->piece_last);
		u64 offset = address & PAGE_MASK, part = MIN(bytes, PAGE_SIZE - offset);
		int err;

		*piece = (struct blk_piece){.guest = gfn(address >> PAGE_SHIFT),
			.offset = (u16)offset,
			.bytes = (u16)part};
		err = memory_pin(blk->device.vm, piece->guest, &piece->host);
		if (err)
			return err;
		blk->piece_last++;
		address += part;
		bytes -= part;
	}
	return 0;
}

static int read_header(
	struct virtio_blk *blk, const struct blk_layout *layout, struct blk_header *header)
{
	u8 *to = (u8 *)header;

	for (unsigned i = 0; i < layout->header_parts; i++) {
		int err = memory_read(blk->device.vm, gpa(layout->header[i].address), to,
			layout->header[i].bytes);

		if (err)
			return err;
		to += layout->header[i].bytes;
	}
	return 0;
}

/* A broken driver gets one line: the buffer at @address is not RAM, unless @error says that only a
 * frame is lacking. */
static __attribute__((noinline)) enum blk_admission refuse(
	struct virtio_blk *blk, int error, const char *what, u64 address, u64 bytes)
{
	if (error == -SLUICE_ENOMEM)
		return BLK_SHORT;
	vm_complain(blk->device.vm, "disk \"%s\": %s at %#lx, %lu bytes, valid is RAM (%lu bytes)",
		blk->config->name, what, address, bytes,
		blk->device.vm->memory.ram_pages * PAGE_SIZE);
	return BLK_BROKEN;
}

/* A discarded page is no place for data: that request fails, and is named. */
static __attribute__((noinline)) bool is_discarded(
	struct virtio_blk *blk, const struct virtq_buffer *buffer)
{
	for (u64 i = 0; i < pages_of(buffer); i++) {
		gfn_t frame = gfn((buffer->address >> PAGE_SHIFT) + i);

		if (!memory_is_discarded(blk->device.vm, frame))
			continue;
		vm_complain(blk->device.vm,
			"disk \"%s\": a request fails, since gfn %#lx of its data is discarded",
			blk->config->name, (unsigned long)frame.raw);
		return true;
	}
	return false;
}

/* The part of the chain that holds the data of @header's type. */
static void data_buffers(const struct virtq_chain *chain, u32 type, unsigned *from, unsigned *to)
{
	*from = type == BLK_T_OUT ? 0 : chain->readable;
	*to = type == BLK_T_OUT ? chain->readable : chain->count;
	if (type == BLK_T_FLUSH)
		*to = *from;
}

enum blk_admission blk_admit(struct virtio_blk *blk, u64 now)
{
	struct blk_request *request = &blk->requests[blk->last % BLK_REQUESTS];
	u32 room = BLK_PIECES - (blk->piece_last - blk->piece_first), before = blk->piece_last;
	struct virtq_chain *chain = &blk->chain;
	struct blk_layout layout;
	struct blk_header header;
	unsigned from, to;
	u64 pages = 1;
	u8 status;
	int error;

	if (blk->last - blk->first == BLK_REQUESTS)
		return BLK_LATER;
	if (!blk_split(chain, &layout)) {
		vm_complain(blk->device.vm,
			"disk \"%s\": a request without room for header or status",
			blk->config->name);
		return BLK_BROKEN;
	}
	error = read_header(blk, &layout, &header);
	if (error)
		return refuse(
			blk, error, "request header", layout.header[0].address, sizeof(header));
	status = blk_check(&header, &layout, blk->disk.sectors, blk->disk.read_only);
	data_buffers(chain, header.type, &from, &to);
	for (unsigned i = from; i < to; i++)
		pages += pages_of(&chain->buffers[i]);
	if (pages > BLK_PIECES)
		status = BLK_S_IOERR; /* more than SIZE_MAX and SEG_MAX allow */
	if (status != BLK_S_OK) {
		to = from;
		pages = 1;
	}
	if (pages > room)
		return BLK_LATER;

	for (unsigned i = from; i < to; i++) {
		const struct virtq_buffer *buffer = &chain->buffers[i];

		error = pin_buffer(blk, buffer->address, buffer->bytes);
		if (error) {
			unpin(blk, before, blk->piece_last);
			blk->piece_last = before;
			if (error != -SLUICE_EFAULT || !is_discarded(blk, buffer))
				return refuse(
					blk, error, "data buffer", buffer->address, buffer->bytes);
			status = BLK_S_IOERR;
			break;
		}
	}
	error = pin_buffer(blk, layout.status, 1);
	if (error) {
		unpin(blk, before, blk->piece_last);
		blk->piece_last = before;
		return refuse(blk, error, "status byte", layout.status, 1);
	}
	*request = (struct blk_request){
		.sector = header.sector,
		.data_bytes = header.type == BLK_T_OUT ? layout.out_bytes : layout.in_bytes,
		.type = header.type,
		.head = chain->head,
		.pieces = (u16)(blk->piece_last - before),
		.status = status,
	};
	blk->busy_until = MAX(now, blk->busy_until) + blk->service_ticks;
	request->done_at = blk->busy_until;
	blk->last++;
	return BLK_ADMITTED;
}

/* Between one piece and the disk. */
static void move(struct virtio_blk *blk, const struct blk_piece *piece, u64 offset, bool to_guest)
{
	u8 *guest = (u8 *)mfn_to_ptr(piece->host) + piece->offset;
	u64 left = piece->bytes;

	while (left > 0) {
		u64 run, part;
		u8 *disk = ramdisk_at(&blk->disk, offset, &run);
		u8 *target = to_guest ? guest : disk, *source = to_guest ? disk : guest;

		part = MIN(run, left);
		if (part == PAGE_SIZE && !((u64)disk & PAGE_MASK) && to_guest)
			arch_copy_page(target, source);
		else if (part == PAGE_SIZE && !((u64)disk & PAGE_MASK))
			arch_copy_page_away(target, source);
		else
			memcpy(target, source, part);
		guest += part;
		offset += part;
		left -= part;
	}
}

/* How many of the sectors were never read before; remembers them. */
static u64 note_first_reads(struct virtio_blk *blk, u64 sector, u64 count)
{
	u64 first = 0;

	while (count > 0) {
		u64 shift = sector % 64, part = MIN(count, 64 - shift);
		u64 mask = (part == 64 ? ~0UL : BIT(part) - 1) << shift;

		first += (u64)__builtin_popcountl(mask & ~blk->seen[sector / 64]);
		blk->seen[sector / 64] |= mask;
		sector += part;
		count -= part;
	}
	return first;
}

static void move_data(struct virtio_blk *blk, const struct blk_request *request)
{
	bool to_guest = request->type == BLK_T_IN;
	u64 offset = request->sector * SECTOR_SIZE, sectors = request->data_bytes / SECTOR_SIZE;

	for (u32 i = 0; i + 1 < request->pieces; i++) {
		const struct blk_piece *piece = piece_at(blk, blk->piece_first + i);

		move(blk, piece, offset, to_guest);
		offset += piece->bytes;
	}
	blk->device.turn_bytes += request->data_bytes;
	if (to_guest) {
		blk->stats.read_requests++;
		blk->stats.read_sectors += sectors;
		blk->stats.first_sectors += note_first_reads(blk, request->sector, sectors);
	} else {
		blk->stats.write_requests++;
		blk->stats.write_sectors += sectors;
	}
}

/* virtio 1.2, 5.2.6: the name, padded with zeros to 20 bytes. */
static void write_id(struct virtio_blk *blk, const struct blk_request *request)
{
	char id[BLK_ID_BYTES] = {0};
	u32 done = 0;

	strncpy(id, blk->config->name, sizeof(id));
	for (u32 i = 0; i + 1 < request->pieces && done < sizeof(id); i++) {
		const struct blk_piece *piece = piece_at(blk, blk->piece_first + i);
		u32 part = MIN((u32)piece->bytes, (u32)sizeof(id) - done);

		memcpy((u8 *)mfn_to_ptr(piece->host) + piece->offset, id + done, part);
		done += part;
	}
}

void blk_finish(struct virtio_blk *blk)
{
	struct blk_request *request = blk_oldest(blk);
	const struct blk_piece *status;
	u32 written = 1;

	if (request->status != BLK_S_OK) {
		blk->stats.errors++;
	} else if (request->type == BLK_T_GET_ID) {
		write_id(blk, request);
		written += BLK_ID_BYTES;
	} else if (request->type != BLK_T_FLUSH) {
		move_data(blk, request);
		if (request->type == BLK_T_IN)
			written += (u32)request->data_bytes;
	}
	status = piece_at(blk, blk->piece_first + request->pieces - 1u);
	((u8 *)mfn_to_ptr(status->host))[status->offset] = request->status;
	unpin(blk, blk->piece_first, blk->piece_first + request->pieces);
	blk->piece_first += request->pieces;
	blk->first++;
	virtqueue_push(&blk->device.queues[0].rings, request->head, written);
}

void blk_forget(struct virtio_blk *blk)
{
	unpin(blk, blk->piece_first, blk->piece_last);
	blk->piece_first = blk->piece_last;
	blk->first = blk->last;
	blk->busy_until = 0;
}
