/*
 * For tests of the tmem engine under ThreadSanitizer: races that are meant. Gets look at the index
 * without a lock, and do not believe what they saw if it was being changed (client_sequence()).
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race_top:table_look\n"
	       "race_top:table_may_have\n"
	       "race_top:table_bucket\n"
	       "race_top:hash_words\n"
	       "race_top:get_distant\n"
	       "race_top:look\n"
	       "race_top:look_if_not_sampled\n"
	       "race_top:line_surely_lacks\n"
	       "race_top:line_may_have\n"
	       "race_top:line_match\n"
	       "race_top:pool_surely_lacks\n"
	       "race_top:client_sequence\n"
	       "race_top:queues_sample\n";
}
