-- The valid, visible versions of every event; is_current marks the one that counts.
with judged as (

    select
        event_id,
        learner_id,
        event_type,
        session_id,
        timestamp as happened_at,
        cast(timestamp as date) as activity_date,
        data,
        metadata,
        version,
        partition_date,
        s3_path,
        processed_at as loaded_at,
        case when json_valid(data) then data end as parsed
    from raw.learner_events
    where
        processed_at <= getvariable('as_of')
        and regexp_matches(event_id, '[^\pZ\t-\r\x{85}]')
        and regexp_matches(learner_id, '[^\pZ\t-\r\x{85}]')
        and event_type is not null
        and timestamp is not null
        and coalesce(regexp_matches(session_id, '[^\pZ\t-\r\x{85}]'), true)

),

read as (

    select
        *,
        parsed ->> '$.page_id' as page_id,
        parsed ->> '$.assessment_id' as assessment_id,
        parsed ->> '$.score' as score_text,
        parsed ->> '$.max_score' as max_score_text,
        try_cast(score_text as decimal(18, 6)) as score,
        try_cast(max_score_text as decimal(18, 6)) as max_score
    from judged

)

select
    *,
    row_number() over (
        partition by event_id, learner_id, activity_date
        order by
            loaded_at desc,
            event_type desc,
            session_id desc nulls last,
            happened_at desc,
            data desc nulls last,
            metadata desc nulls last,
            version desc nulls last,
            partition_date desc nulls last,
            s3_path desc nulls last
    ) = 1 as is_current
from read
where
    happened_at >= '1970-01-02'
    and happened_at <= loaded_at + interval 24 hours
    and (data is null or json_valid(data))
    -- no object has a key twice
    and (
        select count(*) = count(distinct (path, key))
        from json_tree(case when json_valid(data) then data end)
        where key is not null
    )
    and (score_text is null or score is not null)
    and (max_score_text is null or max_score is not null)
