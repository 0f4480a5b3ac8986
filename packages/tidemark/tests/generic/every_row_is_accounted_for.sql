{#- Nothing is dropped silently: all raw rows = no load time + waiting + quarantined + superseded + deleted + current.
    Each is counted on its own, the current ones from the built mart, as of that mart's watermark: so it also holds
    between a load and a run. Days below the mart's floor are left out: their raw rows were pruned. In a build the days
    that the mart wrote are counted, and no row that it was to process may lie on another. -#}
{% test every_row_is_accounted_for(model, mart, current_rows, day=none) %}

{% set node = tidemark.model_named(mart.identifier) if execute else none %}
{% set floor = tidemark.retention_floor(node) if node and day else none %}
{% set ties = tidemark.setting('versions').get(model.identifier, {}).get('ties', []) %}
{% set ranges = tidemark.ranges_to_test([mart.identifier], trusts_others=true) if node and day else none %}
{% set written = (tidemark.written_state(node.unique_id) if node) or {} %}
{% set deletable = tidemark.staged('is_deleted') in ties %}

with clock as (

    select last_processed_timestamp as watermark
    from {{ ref('etl_job_watermarks') }}
    where job_name = '{{ mart.identifier }}'

),

raw_rows as (

    select
        count(*) as all_rows,
        count(case when versions.{{ tidemark.staged('loaded_at') }} is null then 1 end) as without_load_time,
        count(case when versions.{{ tidemark.staged('loaded_at') }} > clock.watermark then 1 end) as waiting,
        count(
            case
                when
                    versions.{{ tidemark.staged('loaded_at') }} <= clock.watermark
                    and versions.{{ tidemark.staged('quarantine_reason') }} is not null
                    then 1
            end
        ) as quarantined
    from {{ model }} as versions
    cross join clock
    where
        not coalesce({{ tidemark.earlier_than('versions.' ~ tidemark.staged('activity_date'), floor) }}, false)
        and {{ tidemark.within('versions.' ~ tidemark.staged('occurred_at'), ranges) }}

),

ranked_versions as (

    select
        {{ tidemark.staged('is_deleted') if deletable else 'false' }} as is_gone,
        {{ tidemark.version_rank(model) }} as version_rank
    from {{ model }}
    cross join clock
    where
        {{ tidemark.staged('quarantine_reason') }} is null
        and {{ tidemark.staged('loaded_at') }} <= clock.watermark
        and not coalesce({{ tidemark.earlier_than(tidemark.staged('activity_date'), floor) }}, false)
        and {{ tidemark.within(tidemark.staged('occurred_at'), ranges) }}

),

versions as (

    select
        count(case when version_rank > 1 then 1 end) as superseded,
        count(case when version_rank = 1 and is_gone then 1 end) as deleted
    from ranked_versions

),

mart_rows as (

    select coalesce({{ current_rows }}, 0) as current_rows from {{ mart }}
    where
        not {{ tidemark.earlier_than(day, floor) }}
        and {{ tidemark.within(day, ranges) }}

),

missed as (

    select count(*) as missed_rows from {{ model }}
    cross join clock
    where
        {%- if ranges is none or not written.since %}
        false
        {%- else %}
        {{ tidemark.staged('quarantine_reason') }} is null
        and {{ tidemark.staged('loaded_at') }} >= {{ tidemark.timestamp_literal(written.since) }}
        and {{ tidemark.staged('loaded_at') }} <= clock.watermark
        and not coalesce({{ tidemark.earlier_than(tidemark.staged('activity_date'), floor) }}, false)
        and not coalesce({{ tidemark.within(tidemark.staged('occurred_at'), ranges) }}, false)
        {%- endif %}

),

final as (

    select * from raw_rows
    cross join versions
    cross join mart_rows
    cross join missed

)

select * from final
where
    all_rows <> without_load_time + waiting + quarantined + superseded + deleted + current_rows
    or missed_rows > 0

{% endtest %}
