{{ config(incremental_strategy='replay') }}

with touched as (

    {% call tidemark.replay_from(entity='learner_id', day='activity_date') %}

    select
        learner_id,
        activity_date as replay_from
    from {{ ref('stg_learner_events') }}
    where {{ tidemark.newly_loaded() }} and is_attempt

    {% if is_incremental() %}

    union all

    -- what takes the place of an attempt; what is not stored changed nothing, and neither does its end
    select
        learner_id,
        activity_date as replay_from
    from {{ ref('stg_learner_events') }}
    where
        {{ tidemark.newly_loaded() }}
        and (event_id, learner_id, activity_date) in (
            select
                trigger_event_id,
                learner_id,
                activity_date
            from {{ this }}
        )

    {% endif %}

    {% endcall %}

),

events as (

    select * from {{ ref('stg_learner_events') }}
    where {{ tidemark.replayed_rows('learner_id') }}
    qualify {{ tidemark.latest_version(ref('stg_learner_events')) }}

),

attempts as (

    select
        events.learner_id,
        events.assessment_id as content_id,
        events.event_id as trigger_event_id,
        events.occurred_at as attempted_at,
        events.activity_date,
        cast(least(1, greatest(0, {{ tidemark.ratio(
            'events.score', 'coalesce(nullif(events.max_score, 0), 100)', decimals=6, scale=6
        ) }})) as decimal(7, 6)) as mastery,
        true as is_replayed
    from events
    inner join touched
        on
            events.learner_id = touched.learner_id
            and events.activity_date >= touched.replay_from
    where events.is_attempt

),

{% if is_incremental() %}

-- the last change of each content before the replay: no attempt since then changed anything
mastered_before as (

    select
        stored.learner_id,
        stored.content_id,
        stored.trigger_event_id,
        stored.attempted_at,
        stored.activity_date,
        stored.current_mastery as mastery,
        false as is_replayed
    from {{ this }} as stored
    inner join touched
        on
            stored.learner_id = touched.learner_id
            and stored.activity_date < touched.replay_from
    qualify row_number() over (
        partition by stored.learner_id, stored.content_id
        order by stored.attempted_at desc, stored.trigger_event_id desc
    ) = 1

),

{% endif %}

history as (

    select * from attempts
    {% if is_incremental() %}
    union all
    select * from mastered_before
    {% endif %}

),

steps as (

    select
        *,
        lag(mastery) over (
            partition by learner_id, content_id order by attempted_at, trigger_event_id
        ) as previous_mastery
    from history

),

final as (

    select
        learner_id,
        content_id,
        trigger_event_id,
        attempted_at,
        activity_date,
        previous_mastery,
        mastery as current_mastery,
        cast(mastery - coalesce(previous_mastery, 0) as decimal(7, 6)) as mastery_delta,
        cast(
            case
                when previous_mastery is null then 0.7
                else least(1, 0.5 + 0.5 * abs(mastery - previous_mastery))
            end as decimal(8, 7)
        ) as confidence_score,
        {{ tidemark.as_of() }} as record_loaded_at
    from steps
    where is_replayed and mastery is distinct from previous_mastery

)

select * from final
