with source as (

    {{ tidemark.contract_rows(source('raw', 'learner_events')) }}

),

-- null where there is no such key; where data does not parse, the row is quarantined
parsed as (

    select
        *,
        {{ tidemark.json_text('data', 'page_id') }} as page_id,
        {{ tidemark.json_text('data', 'assessment_id') }} as assessment_id,
        {{ tidemark.json_text('data', 'score') }} as score_text,
        {{ tidemark.json_text('data', 'max_score') }} as max_score_text
    from source

),

final as (

    select
        event_id,
        learner_id,
        event_type,
        session_id,
        timestamp as occurred_at,
        date_trunc('minute', timestamp) as minute_timestamp,
        cast(timestamp as date) as activity_date,
        page_id,
        assessment_id,
        try_cast(score_text as decimal(18, 6)) as score,
        try_cast(max_score_text as decimal(18, 6)) as max_score,
        coalesce(
            event_type = 'assessment_complete' and assessment_id is not null and score_text is not null, false
        ) as is_attempt,
        data,
        metadata,
        version,
        partition_date,
        s3_path,
        processed_at as loaded_at,
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'learner_events')) }}
            when event_id is null then 'event_id is null'
            when {{ tidemark.is_blank('event_id') }} then 'event_id is blank'
            when learner_id is null then 'learner_id is null'
            when {{ tidemark.is_blank('learner_id') }} then 'learner_id is blank'
            when event_type is null then 'event_type is null'
            when {{ tidemark.is_blank('session_id') }} then 'session_id is blank'
            when timestamp is null then 'timestamp is null'
            when {{ tidemark.is_before_earliest_event('timestamp') }} then 'timestamp is before earliest_event'
            when {{ dbt.dateadd('hour', -24, 'timestamp') }} > processed_at
                then 'timestamp is more than 24 hours after processed_at'
            when not {{ tidemark.is_json('data') }} then 'data does not parse'
            when score_text is not null and try_cast(score_text as decimal(18, 6)) is null
                then 'score is not a number'
            when max_score_text is not null and try_cast(max_score_text as decimal(18, 6)) is null
                then 'max_score is not a number'
        end as quarantine_reason
    from parsed

)

select * from final
