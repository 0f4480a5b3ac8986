with coverage as (

    select * from {{ source('ops', 'partition_coverage') }}

),

final as (

    select
        model_name,
        domain,
        strategy,
        built_on,
        entity,
        day,
        state,
        expected_rows,
        stored_rows,
        differing_rows,
        differing_columns,
        found_at,
        checked_at,
        as_of
    from coverage
    where state <> 'ok' and not is_current and is_rebuildable

)

select * from final
