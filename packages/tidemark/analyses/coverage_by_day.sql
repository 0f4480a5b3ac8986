-- How many partitions of each table coverage last compared, day by day, and how many of them are not as they should be:
-- the strips of `tidemark gaps`. With `--vars '{coverage: {entity: E}}'` of one entity alone.
select
    model_name,
    day,
    is_current,
    count(*) as partitions,
    count(case when state <> 'ok' and is_rebuildable then 1 end) as damaged
from {{ source('ops', 'partition_coverage') }}
where {{ tidemark.is_asked_entity('entity') }}
group by model_name, day, is_current
order by model_name, day
