# The part of the stub that packages IP: interfaces are found by the names of the top module's ports, as Vivado does.
# UG835 does not have these commands: they are known from scripts that others have published, their options as those use them.

namespace eval stub {
    variable core {}           ;# property -> value, and root
    variable packaged {}       ;# folder -> core, once it is saved
    variable repositories {}   ;# of the open project
    variable interfaces {}     ;# of the core: name -> {kind mode bits}
    variable plain_ports {}    ;# of the core: port -> direction
    variable maps {}           ;# memory maps of the core
    variable blocks {}         ;# address blocks
    variable registers {}      ;# name -> {property value ...}
    variable associated {}     ;# interfaces that have a clock
    variable signals {}        ;# interfaces of one port: port -> type
}

# Splits the ports of the top module into interfaces by the AXI naming rules and the ports that are left.
proc stub::infer_interfaces {} {
    variable top
    variable sources
    variable interfaces {}
    variable plain_ports {}
    set lite {
        awaddr awprot awvalid awready wdata wstrb wvalid wready bresp bvalid bready araddr arprot arvalid arready rdata rresp
        rvalid rready
    }
    foreach {port direction bits} [ports_with_widths $top] {
        if {[regexp {^(\w+)_(tdata|tkeep|tvalid|tready|tlast)$} $port - name signal]} {
            dict set found $name axis $signal [list $direction $bits]
        } elseif {[regexp {^(\w+)_([a-z]+)$} $port - name signal] && $signal in $lite} {
            dict set found $name aximm $signal [list $direction $bits]
        } else {
            dict set plain_ports $port $direction
        }
    }
    dict for {name kinds} $found {
        lassign $kinds kind signals
        set needed [expr {$kind eq "axis" ? {tdata tvalid tready tlast} : $lite}]
        foreach signal $needed {
            need {[dict exists $signals $signal]} "interface $name: no port ${name}_$signal"
        }
        set valid [lindex [dict get $signals [expr {$kind eq "axis" ? "tvalid" : "awvalid"}]] 0]
        set bits [lindex [dict get $signals [expr {$kind eq "axis" ? "tdata" : "wdata"}]] 1]
        dict set interfaces $name [list $kind [expr {$valid eq "output" ? "master" : "slave"}] $bits]
    }
}

# Port, direction and width of a module of the sources.
proc stub::ports_with_widths {module} {
    variable sources
    set ports {}
    foreach file $sources {
        set pattern {\m(input|output)\M\s*(?:wire|reg)?\s*(?:\[(\d+):0\])?\s*(\w+)\s*;}
        foreach {- direction high port} [regexp -all -inline $pattern [module_text $file $module]] {
            lappend ports $port $direction [expr {$high eq "" ? 1 : $high + 1}]
        }
    }
    need {$ports ne ""} "module '$module' not found in the sources"
    return $ports
}

proc stub::need_core {command object} {
    need {$object eq "ipx:core" && $::stub::core ne ""} "$command: not the current core: '$object'"
}

proc stub::set_of_ip {name value object} {
    variable core
    variable registers
    lassign [split $object :] - kind which
    set known {
        core {name version core_revision display_name description vendor_display_name company_url supported_families}
        block {range width}
        register {address_offset size description access}
        bus {slave_memory_map_ref}
        parameter {value}
    }
    need {$name in [dict get $known $kind]} "set_property: a $kind of an IP has no property '$name'"
    switch $kind {
        core { dict set core $name $value }
        register {
            need {$name ne "address_offset" || $value % 4 == 0} "set_property: address_offset must be a multiple of 4"
            dict set registers $which $name $value
        }
        bus { need {$value in $::stub::maps} "set_property: no memory map '$value'" }
        block { need {$name ne "range" || $value >= 4096} "set_property: range must be at least 4096, not $value" }
    }
    if {$kind eq "core" && $name eq "version"} {
        need {[regexp {^\d+\.\d+$} $value]} "set_property: the version of an IP must be two numbers, not '$value'"
    }
}

stub::define ipx::package_project {
    -root_dir= -vendor= -library= -taxonomy= -name= -version= -import_files -set_current= -force -force_update_compile_order
    -generated_files -archive_source_project= -module= -no_update_ip_catalog
} 0 1 {
    stub::need {$::stub::project ne ""} "ipx::package_project: no open project"
    foreach option {-root_dir -vendor -library -taxonomy} {
        stub::need {[dict exists $given $option]} "ipx::package_project: $option must be given"
    }
    stub::need {[file isdirectory [dict get $given -root_dir]]} "ipx::package_project: no such folder"
    stub::infer_interfaces
    foreach name {maps blocks registers associated signals} {
        set ::stub::$name {}
    }
    set ::stub::core [list root [dict get $given -root_dir] vendor [dict get $given -vendor] library [dict get $given -library]]
}
stub::define ipx::current_core {} 0 1 {
    stub::need {$::stub::core ne ""} "ipx::current_core: nothing has been packaged"
    return ipx:core
}
stub::define ipx::associate_bus_interfaces {-busif= -clock= -reset= -clear} 0 1 {
    stub::need_core ipx::associate_bus_interfaces [lindex $words 0]
    foreach option {-clock -reset} {
        if {[dict exists $given $option]} {
            set port [dict get $given $option]
            stub::need {[dict exists $::stub::signals $port]} "ipx::associate_bus_interfaces: no interface '$port'"
        }
    }
    stub::need {[dict exists $given -clock]} "ipx::associate_bus_interfaces: -clock must be given"
    if {[dict exists $given -busif]} {
        set name [dict get $given -busif]
        stub::need {[dict exists $::stub::interfaces $name]} "ipx::associate_bus_interfaces: no interface '$name'"
        lappend ::stub::associated $name
    }
}
stub::define ipx::get_memory_maps {-regexp -nocase -filter= -of_objects=} 0 1 {
    stub::need_core ipx::get_memory_maps [dict get $given -of_objects]
    set name [lindex $words 0]
    return [expr {$name in $::stub::maps ? "ipx:map:$name" : ""}]
}
stub::define ipx::add_memory_map {} 1 2 {
    stub::need_core ipx::add_memory_map [lindex $words 1]
    lappend ::stub::maps [lindex $words 0]
    return ipx:map:[lindex $words 0]
}
stub::define ipx::get_bus_interfaces {-regexp -nocase -filter= -of_objects=} 0 1 {
    stub::need_core ipx::get_bus_interfaces [dict get $given -of_objects]
    set name [lindex $words 0]
    set found [expr {[dict exists $::stub::interfaces $name] || [dict exists $::stub::signals $name]}]
    stub::need {$found || [dict exists $given -quiet]} "ipx::get_bus_interfaces: no interface '$name'"
    return [expr {$found ? "ipx:bus:$name" : ""}]
}
stub::define ipx::infer_bus_interface {} 2 3 {
    lassign $words port type core
    stub::need_core ipx::infer_bus_interface $core
    stub::need {[dict exists $::stub::plain_ports $port]} "ipx::infer_bus_interface: no port '$port'"
    set directions {clock input reset input interrupt output}
    stub::need {[regexp {^xilinx\.com:signal:(clock|reset|interrupt)_rtl:1\.0$} $type - kind]} "ipx::infer_bus_interface: unknown type '$type'"
    stub::need {[dict get $::stub::plain_ports $port] eq [dict get $directions $kind]} "ipx::infer_bus_interface: $port is no $kind"
    dict set ::stub::signals $port $kind
}
stub::define ipx::get_bus_parameters {-regexp -nocase -filter= -of_objects=} 0 1 {
    stub::need {[string match ipx:bus:* [dict get $given -of_objects]]} "ipx::get_bus_parameters: -of_objects is no interface"
    return ""
}
stub::define ipx::add_bus_parameter {} 1 2 {
    stub::need {[string match ipx:bus:* [lindex $words 1]]} "ipx::add_bus_parameter: not an interface: '[lindex $words 1]'"
    return ipx:parameter:[lindex $words 0]
}
stub::define ipx::get_address_blocks {-regexp -nocase -filter= -of_objects=} 0 1 {
    stub::need {[string match ipx:map:* [dict get $given -of_objects]]} "ipx::get_address_blocks: -of_objects is no memory map"
    set name [lindex $words 0]
    return [expr {$name in $::stub::blocks ? "ipx:block:$name" : ""}]
}
stub::define ipx::add_address_block {} 1 2 {
    stub::need {[string match ipx:map:* [lindex $words 1]]} "ipx::add_address_block: not a memory map: '[lindex $words 1]'"
    lappend ::stub::blocks [lindex $words 0]
    return ipx:block:[lindex $words 0]
}
stub::define ipx::add_register {} 1 2 {
    lassign $words name block
    stub::need {[string match ipx:block:* $block]} "ipx::add_register: not an address block: '$block'"
    stub::need {![dict exists $::stub::registers $name]} "ipx::add_register: there is a '$name' already"
    dict set ::stub::registers $name {}
    return ipx:register:$name
}
foreach command {create_xgui_files update_checksums} {
    stub::define ipx::$command {} 1 1 "stub::need_core ipx::$command \[lindex \$words 0\]"
}
stub::define ipx::check_integrity {-kernel -xrt -set_params} 0 1 {
    stub::need_core ipx::check_integrity [lindex $words 0]
    dict for {name -} $::stub::interfaces {
        stub::need {$name in $::stub::associated} "ipx::check_integrity: interface '$name' has no clock"
    }
    set offsets {}
    dict for {name properties} $::stub::registers {
        foreach property {address_offset size} {
            stub::need {[dict exists $properties $property]} "ipx::check_integrity: register '$name' has no $property"
        }
        set offset [expr {[dict get $properties address_offset]}]
        stub::need {$offset ni $offsets} "ipx::check_integrity: two registers at $offset"
        lappend offsets $offset
    }
}
stub::define ipx::save_core {} 0 1 {
    stub::need_core ipx::save_core [lindex $words 0]
    set ::stub::core [dict merge $::stub::core [list interfaces $::stub::interfaces plain $::stub::plain_ports]]
    dict set ::stub::packaged [dict get $::stub::core root] $::stub::core
}
