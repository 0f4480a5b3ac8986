select * from consumer_analytics
where isodow(snapshot_timestamp) = 1
