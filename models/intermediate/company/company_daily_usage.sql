{{ config(incremental_strategy='replay') }}

{% set churn_window_days = rule('churn_window_days') -%}

with calendar as (

    select * from {{ ref('reported_calendar') }}

),

lifespans as (

    select * from {{ ref('company_lifespans') }}

),

touched as (

    {% call tidemark.replay_from(entity='company_id', day='activity_date') %}

    {% if is_incremental() %}

    -- companies that are new or gone, whose first day moved, or whose last day did with the calendar
    {{ tidemark.moved_lifespans(ref('company_lifespans'), entity='company_id', day='activity_date') }}

    union all

    -- days that are reported now and were not, or the other way round; also before a company's first day
    select stored.company_id, stored.activity_date as replay_from
    from {{ this }} as stored
    left join {{ ref('reported_calendar') }} as calendar on stored.activity_date = calendar.date_day
    where
        stored.is_reported <> coalesce(calendar.is_reported, false)
        or stored.days_reported_7d <> coalesce(calendar.days_reported_7d, 0)
        or stored.churn_window_days_reported <> coalesce(calendar.churn_window_days_reported, 0)

    union all

    -- usage that arrived, late or not
    select company_id, usage_date as replay_from
    from {{ ref('stg_product_usage_daily') }}
    where {{ tidemark.newly_loaded() }}

    {% else %}

    select company_id, first_day as replay_from from {{ ref('company_lifespans') }}

    {% endif %}

    {% endcall %}

),

usage_days as (

    select * from {{ ref('stg_product_usage_daily') }}
    where {{ tidemark.replayed_rows('company_id', lookback_days=6) }}
    qualify {{ tidemark.latest_version(ref('stg_product_usage_daily')) }}

),

-- every day to write, and the six before it that its window covers
spans as (

    select
        lifespans.company_id,
        lifespans.first_day,
        lifespans.last_day,
        greatest(lifespans.first_day, {{ tidemark.days_after('touched.replay_from', -6) }}) as first_read_day,
        touched.replay_from
    from touched
    inner join lifespans on touched.company_id = lifespans.company_id

),

days as (

    select
        spans.company_id,
        spans.first_day,
        {{ tidemark.day_of('calendar', 'spans.first_read_day') }} as activity_date,
        spans.replay_from
    from spans
    cross join {{ tidemark.each_day('spans.first_read_day', 'spans.last_day') }} as calendar

),

last_active_before as (

    {% if is_incremental() %}

    select
        stored.company_id,
        {{ tidemark.days_after('stored.activity_date', '-stored.days_since_last_active') }} as active_on
    from {{ this }} as stored
    inner join touched
        on
            stored.company_id = touched.company_id
            and stored.activity_date = {{ tidemark.days_after('touched.replay_from', -1) }}

    {% else %}

    select
        company_id,
        cast(null as date) as active_on
    from touched

    {% endif %}

),

daily as (

    select
        days.company_id,
        days.activity_date,
        days.first_day,
        days.activity_date >= days.replay_from as is_written,
        coalesce(calendar.is_reported, false) as is_reported,
        coalesce(calendar.days_reported_7d, 0) as days_reported_7d,
        coalesce(calendar.churn_window_days_reported, 0) as churn_window_days_reported,
        coalesce(usage_days.active_users, case when calendar.is_reported then 0 end) as active_users,
        coalesce(usage_days.events, case when calendar.is_reported then 0 end) as events,
        case
            when {{ is_active_day('usage_days.active_users', 'usage_days.events') }} then days.activity_date
            else last_active_before.active_on
        end as active_on
    from days
    left join calendar on days.activity_date = calendar.date_day
    left join usage_days
        on
            days.company_id = usage_days.company_id
            and days.activity_date = usage_days.usage_date
    -- known at the eve of the replay, so it says nothing of the days before
    left join last_active_before
        on
            days.company_id = last_active_before.company_id
            and days.activity_date >= days.replay_from

),

windowed as (

    select
        *,
        max(active_on) over (
            partition by company_id order by activity_date rows between unbounded preceding and current row
        ) as last_active_on,
        -- rows are calendar days here: the calendar has no gaps
        sum(active_users) over (
            partition by company_id order by activity_date rows between 6 preceding and current row
        ) as active_users_7d,
        sum(events) over (
            partition by company_id order by activity_date rows between 6 preceding and current row
        ) as events_7d
    from daily

),

final as (

    select
        company_id,
        activity_date,
        is_reported,
        cast(active_users as bigint) as active_users,
        cast(events as bigint) as events,
        cast(coalesce(active_users_7d, 0) as bigint) as active_users_7d,
        cast(coalesce(events_7d, 0) as bigint) as events_7d,
        days_reported_7d,
        cast({{ dbt.datediff('last_active_on', 'activity_date', 'day') }} as integer) as days_since_last_active,
        cast({{ churn_window_days }} as integer) as churn_window_days,
        churn_window_days_reported,
        case
            when {{ dbt.datediff('last_active_on', 'activity_date', 'day') }} < {{ churn_window_days }} then false
            when {{ dbt.datediff('first_day', 'activity_date', 'day') }} < {{ churn_window_days }} - 1 then false
            when churn_window_days_reported = {{ churn_window_days }} then true
        end as is_churn_risk,
        {{ tidemark.as_of() }} as record_loaded_at
    from windowed
    where is_written

)

select * from final
