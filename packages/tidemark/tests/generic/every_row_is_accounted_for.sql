{#- Nothing is dropped silently: all raw rows = no load time + waiting + quarantined + superseded + deleted + current.
    Each is counted on its own, the current ones from the built mart, as of that mart's watermark: so it also holds
    between a load and a run. Days below the mart's floor are left out: their raw rows were pruned. -#}
{% test every_row_is_accounted_for(model, mart, current_rows, day=none) %}

{% set node = tidemark.model_named(mart.identifier) if execute else none %}
{% set floor = tidemark.retention_floor(node) if node and day else none %}
{% set ties = tidemark.setting('versions').get(model.identifier, {}).get('ties', []) %}
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
    where not coalesce({{ tidemark.earlier_than('versions.' ~ tidemark.staged('activity_date'), floor) }}, false)

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

),

versions as (

    select
        count(case when version_rank > 1 then 1 end) as superseded,
        count(case when version_rank = 1 and is_gone then 1 end) as deleted
    from ranked_versions

),

mart_rows as (

    select coalesce({{ current_rows }}, 0) as current_rows from {{ mart }}
    where not {{ tidemark.earlier_than(day, floor) }}

),

final as (

    select * from raw_rows
    cross join versions
    cross join mart_rows

)

select * from final
where all_rows <> without_load_time + waiting + quarantined + superseded + deleted + current_rows

{% endtest %}
