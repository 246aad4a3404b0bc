# The tmem engine.

TMEM_SRC := $(wildcard tmem/*.c) tests/unit/tmem_host/port.c tests/unit/tmem_host/compress.c

MODEL_SRC := $(wildcard tests/unit/tmem_host/model*.c) tests/unit/tmem_host/window.c
test_tmem_model_SRC  := $(TMEM_SRC) $(MODEL_SRC)
test_tmem_rules_SRC  := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_dedup_SRC  := $(TMEM_SRC) tests/unit/tmem_host/store.c tests/unit/tmem_host/stream.c \
	tests/unit/tmem_host/suppressions.c
test_tmem_dedup_SANITIZE := thread
test_tmem_flip_SRC   := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_stats_SRC  := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_switches_SRC := $(TMEM_SRC) tests/unit/tmem_host/store.c tests/unit/tmem_host/stream.c
test_tmem_flip_threads_SRC := $(TMEM_SRC) tests/unit/tmem_host/store.c tests/unit/tmem_host/suppressions.c
test_tmem_flip_threads_SANITIZE := thread
test_tmem_shares_SRC := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_memory_SRC := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_index_SRC := $(test_tmem_memory_SRC)
test_tmem_intruder_SRC := $(test_tmem_memory_SRC)
test_tmem_failing_SRC := $(test_tmem_memory_SRC)
test_tmem_audit_SRC     := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_directory_SRC := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_slab_SRC      := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_table_SRC     := $(TMEM_SRC) tests/unit/tmem_host/store.c

test_tmem_threads_SRC      := $(TMEM_SRC) tests/unit/tmem_host/store.c tests/unit/tmem_host/suppressions.c
test_tmem_threads_SANITIZE := thread

test_tmem_dense_SRC   := $(TMEM_SRC) tests/unit/tmem_host/store.c tests/unit/tmem_host/dense_store.c
test_tmem_equal_SRC   := $(test_tmem_dense_SRC)
test_tmem_own_copy_SRC := $(test_tmem_dense_SRC)
NUMBERED_SRC := $(TMEM_SRC) tests/unit/tmem_host/store.c tests/unit/tmem_host/numbered.c
test_tmem_frames_SRC  := $(NUMBERED_SRC)
test_tmem_sparse_SRC  := $(NUMBERED_SRC)
test_tmem_reclaim_SRC := $(NUMBERED_SRC)
test_tmem_pack_SRC    := $(TMEM_SRC) tests/unit/tmem_host/one_pack.c
test_tmem_pack_page_SRC  := $(test_tmem_pack_SRC)
test_tmem_pack_model_SRC := $(TMEM_SRC) tests/unit/tmem_host/pack_model.c
test_tmem_content_SRC := tmem/content.c

FILTER_SRC := $(TMEM_SRC) tests/unit/tmem_host/store.c tests/unit/tmem_host/window.c
test_tmem_filter_SRC := $(FILTER_SRC)
test_tmem_filter_engine_SRC := $(FILTER_SRC)
test_tmem_sample_SRC := $(FILTER_SRC)
test_tmem_filter_threads_SRC      := $(FILTER_SRC) tests/unit/tmem_host/suppressions.c
test_tmem_filter_threads_SANITIZE := thread

$O/unit/test_window $O/unit/test_flip $O/unit/test_flip_cpus: $(LZ4_OBJ)
$(patsubst %,$O/unit/test_tmem_%,audit directory slab table control shared save restore restore_course filter filter_engine filter_threads sample model rules flip flip_threads dedup shares stats memory index intruder failing threads dense equal own_copy frames sparse reclaim pack pack_page pack_model port promise control_calls guest switches): $(LZ4_OBJ)
test_tmem_control_SRC := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_shared_SRC  := $(TMEM_SRC) tests/unit/tmem_host/store.c
test_tmem_save_SRC    := $(TMEM_SRC) tests/unit/tmem_host/store.c tests/unit/tmem_host/stream.c
test_tmem_restore_SRC := $(test_tmem_save_SRC)
test_tmem_restore_course_SRC := $(test_tmem_save_SRC)
test_tmem_sharers_SRC := $(test_tmem_save_SRC) tests/unit/tmem_host/suppressions.c
test_tmem_sharers_SANITIZE := thread
$O/unit/test_tmem_sharers: $(LZ4_OBJ)
test_tmem_history_SRC := tmem/history.c tmem/directory.c tests/unit/tmem_host/metadata.c
test_tmem_queues_SRC  := tmem/queues.c tmem/history.c tmem/directory.c tests/unit/tmem_host/metadata.c
