{{ config(incremental_strategy='replay') }}

with touched as (

    {% call tidemark.replay_from(entity='consumer_id', day='activity_date') %}

    select consumer_id, activity_date as replay_from
    from {{ ref('stg_customer_events') }}
    where {{ tidemark.newly_loaded() }}

    {% endcall %}

),

events as (

    select * from {{ ref('stg_customer_events') }}
    where {{ tidemark.replayed_rows('consumer_id') }}
    qualify {{ tidemark.latest_version(ref('stg_customer_events')) }}

),

history as (

    select
        events.consumer_id,
        events.customer_id,
        events.activity_date,
        events.occurred_at,
        events.loaded_at,
        events.event_id,
        events.event_type,
        events.status
    from events
    inner join touched
        on
            events.consumer_id = touched.consumer_id
            and events.activity_date >= touched.replay_from
    where events.event_type in ('customer_creation', 'customer_update', 'customer_deletion')

    {% if is_incremental() %}

    union all
    -- the state at the eve of the replay, as if that were how the customer began
    select
        stored.consumer_id,
        stored.customer_id,
        stored.activity_date,
        stored.existing_since as occurred_at,
        stored.existing_since as loaded_at,
        null as event_id,
        'customer_creation' as event_type,
        case when stored.is_active then 'ACTIVE' else 'INACTIVE' end as status
    from {{ this }} as stored
    inner join touched
        on
            stored.consumer_id = touched.consumer_id
            and stored.activity_date < touched.replay_from
    where (stored.consumer_id, stored.customer_id) in (
        select
            events.consumer_id,
            events.customer_id
        from events
    )
    qualify
        row_number() over (partition by stored.consumer_id, stored.customer_id order by stored.activity_date desc) = 1
        and stored.is_existing

    {% endif %}

),

numbered as (

    select
        *,
        row_number() over (
            partition by consumer_id, customer_id order by occurred_at, loaded_at, event_id
        ) as event_number
    from history

),

-- a period begins with each creation or deletion, and within it a status holds until the next one
periods as (

    select
        *,
        count(case when event_type <> 'customer_update' then 1 end) over (
            partition by consumer_id, customer_id order by event_number
        ) as period,
        count(status) over (partition by consumer_id, customer_id order by event_number) as status_period
    from numbered

),

-- after the last event of each day
states as (

    select
        *,
        max(case when event_type = 'customer_creation' then occurred_at end) over (
            partition by consumer_id, customer_id, period
        ) as existing_since,
        coalesce(
            max(status) over (partition by consumer_id, customer_id, period, status_period), 'ACTIVE'
        ) = 'ACTIVE' as has_active_status
    from periods
    qualify row_number() over (partition by consumer_id, customer_id, activity_date order by event_number desc) = 1

),

changes as (

    select
        *,
        existing_since is not null and has_active_status as is_active,
        lag(existing_since) over (partition by consumer_id, customer_id order by activity_date) as since_before,
        lag(has_active_status) over (partition by consumer_id, customer_id order by activity_date) as active_before
    from states

),

final as (

    select
        consumer_id,
        customer_id,
        activity_date,
        existing_since is not null as is_existing,
        is_active,
        existing_since,
        cast(existing_since is not null as integer) - cast(since_before is not null as integer) as customers_change,
        cast(is_active as integer) - cast(since_before is not null and active_before as integer) as active_change,
        coalesce({{ tidemark.unix_second('existing_since') }}, 0)
        - coalesce({{ tidemark.unix_second('since_before') }}, 0) as existing_since_change,
        {{ tidemark.as_of() }} as record_loaded_at
    from changes
    -- what was known before is not written again
    where event_id is not null

)

select * from final
