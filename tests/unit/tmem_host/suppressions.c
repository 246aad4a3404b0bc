/*
 * For tests of the tmem engine under ThreadSanitizer: races that are meant. Gets look at the index
 * without a lock, and do not believe what they saw if it was being changed (client_begin_look()).
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race_top:table_look\n"
	       "race_top:table_may_have\n"
	       "race_top:table_bucket\n"
	       "race_top:hash_words\n"
	       "race_top:pool_long_sample\n"
	       "race_top:line_surely_lacks\n"
	       "race_top:line_may_have\n"
	       "race_top:line_match\n"
	       /* line->base, which moves up as a table grows; inlined into line_may_have(). */
	       "race_top:table_entry\n"
	       "race_top:pool_surely_lacks\n"
	       "race_top:client_begin_look\n"
	       "race_top:client_look_holds\n"
	       "race_top:queues_sample\n";
}
