with quarantined as (

    {% for view, version in tidemark.versions_in_use().items() -%}
    {% set key = version.key or version.identity -%}
    {% set types = tidemark.types_of('model.' ~ project_name ~ '.' ~ view) -%}
    select
        '{{ version.source or view | replace("stg_", "") }}' as source_name,
        concat_ws(
            ' | '
            {%- for column in key %},
            coalesce({{ tidemark.column_text('bad_rows.' ~ column, types[column]) }}, 'null')
            {%- endfor %}
        ) as row_key,
        -- a project may call its columns otherwise
        bad_rows.{{ tidemark.staged('quarantine_reason') }} as quarantine_reason, -- noqa: AL09
        {{ tidemark.row_as_json('bad_rows', types) }} as row_json,
        bad_rows.{{ tidemark.staged('loaded_at') }} as loaded_at -- noqa: AL09
    from {{ ref(project_name, view) }} as bad_rows
    where
        bad_rows.{{ tidemark.staged('quarantine_reason') }} is not null
        and bad_rows.{{ tidemark.staged('loaded_at') }} is not null

    union all

    {% endfor -%}
    -- no staging view, no rows
    select
        cast(null as varchar) as source_name,
        cast(null as varchar) as row_key,
        cast(null as varchar) as quarantine_reason,
        cast(null as varchar) as row_json,
        {{ tidemark.timestamp_literal(none) }} as loaded_at
    where false

),

final as (

    select * from quarantined

)

select * from final
