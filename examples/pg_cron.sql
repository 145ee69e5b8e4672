-- Two jobs of pg_cron.  The first sends what is queued, for a server that does not
-- preload pnvs.  The second is a trial: each morning it sends a message directly,
-- and fails where the service refuses, so that cron.job_run_details has the reason.
--
-- The extension is in a schema "pnvs", on which nobody but its owner has CREATE.
--
-- A CALL must be the only statement of its job.  pg_cron 1.5 and later also takes
-- '5 seconds' in place of '* * * * *'.  What failed:
--
--     SELECT start_time, command, return_message
--     FROM cron.job_run_details WHERE status = 'failed' ORDER BY start_time DESC;

SELECT cron.schedule('send-queued', '* * * * *', 'CALL pnvs.process_verification_queue(1000)');

CREATE FUNCTION send_trial() RETURNS void
LANGUAGE sql SET pnvs.on_failure = 'error'
AS $$ SELECT FROM pnvs.start_verification('SMS'::text, '+62 812-0000-0001'::text) $$;
REVOKE ALL ON FUNCTION send_trial FROM PUBLIC;

SELECT cron.schedule('send-trial', '0 7 * * *', 'SELECT public.send_trial()');
